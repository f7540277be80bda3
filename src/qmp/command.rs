//! The program's own commands: what may be sent, and what becomes of it. Part of [`Session`].

use std::time::Duration;

use serde_json::value::RawValue;

use super::{
    act::Act,
    asked::Verb,
    exchange::{Next, Order, Pending, Purpose, Sending},
    message::{boolean, members, string},
    session::{Session, Stage, Ticket},
    strict,
};
use crate::model::{Code, Error, Now, Response};

/// A command that was looked through.
#[derive(Debug)]
pub struct Command<L> {
    /// Unique at its listener.
    pub number: i64,
    pub name: String,
    pub arguments: Option<String>,
    /// Out of band.
    pub oob: bool,
    /// What is passed along.
    pub luggage: Option<L>,
    /// After this its ticket is answered. `None`: whoever waits keeps the time himself.
    pub timeout: Option<Duration>,
}

/// What QEMU answered.
#[derive(Debug)]
pub enum Heard<'a> {
    Return(&'a RawValue),
    Error { class: &'a str, description: &'a str, json: &'a RawValue },
}

impl<'a> Heard<'a> {
    pub fn result(&self) -> Result<&'a RawValue, Error> {
        match *self {
            Heard::Return(value) => Ok(value),
            Heard::Error { class, description, .. } => Err(Error::refused(class, description)),
        }
    }
}

impl<L> Command<L> {
    /// Checks name and arguments, so that QEMU can read them.
    pub fn new(number: i64, name: &str, arguments: Option<&str>) -> Result<Self, Error> {
        check_name(name)?;
        if name == "qmp_capabilities" {
            let text = "qmp_capabilities is the library's: what is agreed on with QEMU is settled \
                        before a monitor is started";
            return Err(Error::new(Code::Invalid, text));
        }
        let arguments = arguments.map(|json| object(name, json)).transpose()?;
        let name = name.to_owned();
        Ok(Self { number, name, arguments, oob: false, luggage: None, timeout: None })
    }
}

/// Refuses what is no name of a command or event: it goes into a message as it is.
pub fn check_name(name: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if !name.is_empty() && name.chars().all(plain) {
        return Ok(());
    }
    Err(Error::new(Code::Invalid, format!("{name:?} is no name of QEMU's")))
}

pub(super) fn object(name: &str, json: &str) -> Result<String, Error> {
    // A newline is only layout here, and would end the line for who reads by lines.
    strict::check_object(json).map(|()| json.replace(['\n', '\r'], " ")).map_err(|error| {
        let text = format!("the arguments of {name} are no JSON object that QEMU reads: {error}");
        Error::new(Code::Invalid, text)
    })
}

impl<T: Ticket> Session<T> {
    /// Sends a command of the library's own, or one that a function of the library is for; as soon
    /// as QEMU takes it.
    pub(super) fn send(
        &mut self,
        name: &str,
        arguments: Option<&str>,
        purpose: Purpose,
        ticket: Option<T>,
        acts: &mut Vec<Act<T>>,
    ) {
        let (oob, luggage, deadline) = (false, None, None);
        let order = Order { name, arguments, purpose, ticket, oob, luggage, deadline };
        acts.extend(self.exchange.submit(order).map(to_act));
    }

    /// Sends a command of the program's; the ticket gets the reply.
    pub fn execute(
        &mut self,
        command: Command<T::Luggage>,
        ticket: T,
        now: Now,
        acts: &mut Vec<Act<T>>,
    ) {
        if let Err(error) = self.check_command(&command) {
            return acts.push(Act::Reply(ticket, Err(error)));
        }
        let Command { number, name, arguments, oob, luggage, timeout } = command;
        let asks = self.asks(&name, arguments.as_deref());
        if let Some((job, verb)) = asks {
            self.jobs.asking(job, verb);
        }
        let sending = self.exchange.submit(Order {
            name: &name,
            arguments: arguments.as_deref(),
            purpose: Purpose::Command { number, asks },
            ticket: Some(ticket),
            oob,
            luggage,
            deadline: timeout.map(|limit| now.running + limit),
        });
        acts.extend(sending.map(to_act));
    }

    /// A command of the program's was answered.
    pub(super) fn handle_response(
        &mut self,
        pending: Pending<T>,
        heard: &Heard<'_>,
        now: Now,
        acts: &mut Vec<Act<T>>,
    ) {
        let Purpose::Command { number, asks } = pending.purpose else { return };
        if let Some((job, verb)) = asks {
            self.jobs.answered(job, verb, matches!(heard, Heard::Return(_)));
        }
        self.pump(now, acts);
        // Who gave up has no ticket here any more, or a void one: the reply is late.
        let Some(ticket) = pending.ticket.filter(|ticket| !ticket.is_void()) else { return };
        let response = match *heard {
            Heard::Return(json) => Response::returned(number, json.get()),
            Heard::Error { class, description, json } => {
                Response::refused(number, class, description, json.get())
            }
        };
        acts.push(Act::Reply(ticket, Ok(response)));
    }

    /// The connection has ended, and with it what was waited for.
    pub(super) fn handle_no_response(pending: Pending<T>, acts: &mut Vec<Act<T>>) {
        let error = if pending.is_sent() {
            let text = "the connection ended before QEMU replied: whether the command was carried \
                        out is not known";
            Error::new(Code::Reset, text)
        } else {
            Error::new(Code::NotConnected, "the connection ended before the command was sent")
        };
        acts.extend(pending.ticket.map(|ticket| Act::Reply(ticket, Err(error))));
    }

    /// QEMU takes another command of those in the line.
    pub(super) fn send_more(&mut self, acts: &mut Vec<Act<T>>) {
        while let Some(next) = self.exchange.advance() {
            match next {
                Next::Send(sending) => acts.push(to_act(sending)),
                Next::Drop(pending) => self.forget(&pending),
            }
        }
    }

    /// Answers those whose time is over.
    pub(super) fn give_up_commands(&mut self, now: Now, acts: &mut Vec<Act<T>>) {
        while let Some((pending, sent)) = self.exchange.overdue(now.running) {
            if !sent {
                self.forget(&pending);
            }
            let what =
                if sent { "whether it carries the command out is not known" } else { UNSENT };
            let text = format!("QEMU has not answered in the time given; {what}");
            let error = Error::new(Code::TimedOut, text);
            acts.extend(pending.ticket.map(|ticket| Act::Reply(ticket, Err(error))));
        }
        self.send_more(acts);
        self.pump(now, acts);
    }

    /// It was not sent, and will not be.
    fn forget(&mut self, pending: &Pending<T>) {
        if let Purpose::Command { asks: Some((job, verb)), .. } = pending.purpose {
            self.jobs.answered(job, verb, false);
        }
    }

    fn check_command(&self, command: &Command<T::Luggage>) -> Result<(), Error> {
        if matches!(self.stage, Stage::Closed) {
            let text = "it was closed; make a new one for this address";
            return Err(Error::new(Code::Shutdown, text));
        }
        self.check_ready()?;
        if command.oob && !self.oob {
            let text = "out-of-band commands were not agreed on with this QEMU: ask for them \
                        before the start, and of a QEMU that offers them";
            return Err(Error::new(Code::NotSupported, text));
        }
        self.exchange.check_room_for(command.arguments.as_ref().map_or(0, String::len))
    }

    /// What a command asks of a job, as far as the job's end depends on it: it makes no difference
    /// who sent it.
    fn asks(&self, name: &str, arguments: Option<&str>) -> Option<(u64, Verb)> {
        let id = match name {
            "block-job-complete" | "block-job-cancel" => "device",
            "job-complete" | "job-cancel" => "id",
            _ => return None,
        };
        let [id, force] = members(arguments?, [id, "force"]).ok()?;
        let force = name == "job-cancel" || force.and_then(boolean) == Some(true);
        let cancels = name.ends_with("-cancel");
        let verb = if cancels { Verb::Cancel { force } } else { Verb::Complete };
        self.jobs.living(&string(id?)?).map(|job| (job, verb))
    }
}

fn to_act<T: Ticket>(Sending { bytes, luggage }: Sending<T>) -> Act<T> {
    match luggage {
        Some(luggage) => Act::SendWith(bytes, luggage),
        None => Act::Send(bytes),
    }
}

const UNSENT: &str = "the command was not sent, for QEMU was busy with others";

/// Seven commands wait at QEMU and are answered one by one. An eighth would fill its queue, and it
/// would read no further: what overtakes the others would have to wait as well.
pub(super) const OOB_IN_BAND_MAX: usize = 7;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Settings, Timestamp};

    /// A session that is ready, and what it wanted done in readable lines. Tickets are numbers; odd
    /// ones over 100 are void.
    struct World {
        session: Session<u8>,
        acts: Vec<Act<u8>>,
        now: Now,
    }

    impl World {
        fn new(oob: bool, offered: &str) -> Self {
            let settings = Settings { reconnect: None, oob, ..Settings::default() };
            let wall = Timestamp { seconds: 5, microseconds: 6 };
            let now = Now { running: Duration::from_secs(1), wall };
            let session = Session::new(settings.into(), "n", "x-".into());
            let mut world = Self { session, acts: Vec::new(), now };
            world.session.start(None, now, &mut world.acts);
            world.session.handle_connected(None, now, &mut world.acts);
            world.hears(&format!(
                "{{\"QMP\": {{\"version\": {{\"qemu\": {{\"micro\": 22, \"minor\": 2, \"major\": \
                 7}}}}, \"capabilities\": [{offered}]}}}}"
            ));
            world.returns(1, "{}");
            world.returns(2, "[]");
            world.returns(3, "[]");
            world
        }

        fn ready() -> Self {
            let mut world = Self::new(false, "");
            world.story();
            world
        }

        fn with_oob() -> Self {
            let mut world = Self::new(true, "\"oob\"");
            world.story();
            world
        }

        fn hears(&mut self, text: &str) {
            self.session.handle_bytes(text.as_bytes(), self.now, &mut self.acts);
        }

        fn returns(&mut self, id: u32, value: &str) {
            self.hears(&format!("{{\"return\": {value}, \"id\": \"x-{id}\"}}\r\n"));
        }

        fn executes(&mut self, ticket: u8, change: impl FnOnce(&mut Command<u8>)) {
            let mut command = Command::new(i64::from(ticket), "stop", None).unwrap();
            change(&mut command);
            self.session.execute(command, ticket, self.now, &mut self.acts);
        }

        fn later(&mut self, seconds: u64) {
            self.now.running += Duration::from_secs(seconds);
            self.session.handle_timeout(self.now, &mut self.acts);
        }

        fn ends(&mut self) {
            let error = Error::new(Code::Reset, "QEMU closed the connection");
            self.session.handle_end(&error, self.now, &mut self.acts);
        }

        /// What was sent and answered.
        fn story(&mut self) -> Vec<String> {
            let line = |act| match act {
                Act::Send(bytes) => Some(sent(&bytes)),
                Act::SendWith(bytes, luggage) => Some(format!("{} with {luggage}", sent(&bytes))),
                Act::Answer(ticket, answer) => Some(format!("answer {ticket} {answer:?}")),
                Act::Reply(ticket, Err(error)) => Some(format!("{ticket} {:?}", error.code)),
                Act::Reply(ticket, Ok(response)) => {
                    assert_eq!(response.number, i64::from(ticket));
                    let json = response.json().unwrap().to_str().unwrap();
                    Some(format!("{ticket} {json}"))
                }
                _ => None,
            };
            self.acts.drain(..).filter_map(line).collect()
        }
    }

    /// `stop 4` of `{"execute":"stop","id":"x-4"}`.
    fn sent(bytes: &[u8]) -> String {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let text = text.replace("\"execute\":", "").replace("\"exec-oob\":", "OOB ");
        text.replace(",\"id\":\"x-", " ").replace(['"', '{', '}', '\n'], "")
    }

    const NOTHING: [&str; 0] = [];

    #[test]
    fn replies_find_their_commands_in_any_order_and_are_kept_to_the_letter() {
        let mut world = World::ready();
        world.executes(1, |_| {});
        world.executes(2, |it| it.arguments = Some("{\"a\": 1}".into()));
        assert_eq!(world.story(), ["stop 4", "stop,arguments:a: 1 5"]);
        world.returns(5, "[1.50, {\"b\" : \"\\u00e9\"}]");
        world.hears("{\"id\": \"x-4\", \"error\": {\"desc\": \"no\", \"class\": \"Gone\"}}");
        let Some(Act::Reply(1, Ok(refused))) = world.acts.last() else { panic!() };
        assert_eq!((refused.class(), refused.text()), (Some(c"Gone"), Some(c"no")));
        assert_eq!(refused.failure, Some(Code::Remote));
        let replies =
            ["2 [1.50, {\"b\" : \"\\u00e9\"}]", "1 {\"desc\": \"no\", \"class\": \"Gone\"}"];
        assert_eq!(world.story(), replies);
    }

    #[test]
    fn a_late_a_second_and_an_orphan_reply_harm_nothing() {
        let mut world = World::ready();
        world.executes(1, |it| it.timeout = Some(Duration::from_secs(2)));
        world.executes(101, |_| {});
        world.executes(2, |it| it.timeout = Some(Duration::from_secs(9)));
        assert_eq!(world.session.deadline(), Some(Duration::from_secs(3)));
        world.story();
        world.later(1);
        assert_eq!(world.story(), NOTHING);
        world.later(1);
        assert_eq!(world.story(), ["1 TimedOut"]);
        for id in [4, 5, 4, 99] {
            world.returns(id, "{}");
        }
        world.hears("{\"return\": {}}{\"return\": {}, \"id\": \"y-6\"}{\"error\": {}}");
        assert_eq!(world.story(), NOTHING);
        world.returns(6, "{}");
        assert_eq!(world.story(), ["2 {}"]);
        assert_eq!(world.session.deadline(), None);
    }

    #[test]
    fn the_end_of_the_connection_answers_and_without_one_nothing_is_sent() {
        let mut world = World::ready();
        world.executes(1, |it| it.timeout = Some(Duration::from_secs(9)));
        world.story();
        world.ends();
        assert_eq!(world.story(), ["1 Reset"]);
        world.executes(2, |_| {});
        world.later(99);
        assert_eq!(world.story(), ["2 NotConnected"]);
        world.session.close("as asked", world.now, &mut world.acts);
        world.executes(3, |_| {});
        assert_eq!(world.story(), ["3 Shutdown"]);
    }

    #[test]
    fn what_qemu_does_not_answer_is_bounded_in_number_and_bytes() {
        let mut world = World::ready();
        for _ in 0..2 {
            world.executes(2, |it| it.arguments = Some(" ".repeat(1 << 19)));
        }
        world.executes(4, |it| it.arguments = Some(" ".repeat(1 << 20)));
        assert_eq!(world.story().pop().unwrap(), "4 NoBuffers");
        world.returns(4, "{}");
        world.executes(6, |it| it.arguments = Some(" ".repeat(1 << 20)));
        assert!(world.story().pop().unwrap().starts_with("stop"));
        world.returns(5, "{}");
        world.returns(6, "{}");
        world.story();
        for _ in 0..8192 {
            world.executes(2, |_| {});
        }
        assert_eq!(world.story().len(), 8192);
        world.executes(8, |_| {});
        assert_eq!(world.story(), ["8 NoBuffers"]);
    }

    #[test]
    fn out_of_band_is_agreed_on_only_when_it_is_wanted_and_offered() {
        let agreed = |wanted, offered| {
            let mut world = World::new(wanted, offered);
            let asked = world.story()[0].contains("enable:[oob]");
            world.executes(2, |it| it.oob = true);
            (asked, world.story().pop().unwrap())
        };
        assert_eq!(agreed(false, "\"oob\""), (false, "2 NotSupported".into()));
        assert_eq!(agreed(true, "\"newer\", 7"), (false, "2 NotSupported".into()));
        assert_eq!(agreed(true, "\"newer\", \"oob\""), (true, "OOB stop 4".into()));
    }

    #[test]
    fn with_out_of_band_seven_are_under_way_and_others_follow_in_their_order() {
        let mut world = World::with_oob();
        for ticket in 1..=9 {
            world.executes(ticket, |_| {});
        }
        world.executes(10, |it| it.oob = true);
        let sent: Vec<_> = (4..=10).map(|id| format!("stop {id}")).collect();
        let story = world.story();
        assert_eq!(story[..7], sent);
        assert_eq!(story[7..], ["OOB stop 13"]);
        // The overtaking one makes no room.
        world.returns(13, "{}");
        assert_eq!(world.story(), ["10 {}"]);
        // What was not sent is not answered.
        world.returns(11, "{}");
        assert_eq!(world.story(), NOTHING);
        world.returns(4, "{}");
        assert_eq!(world.story(), ["1 {}", "stop 11"]);
        world.executes(12, |_| {});
        assert_eq!(world.story(), NOTHING);
        world.returns(6, "{}");
        world.returns(5, "{}");
        world.returns(11, "{}");
        assert_eq!(world.story(), ["3 {}", "stop 12", "2 {}", "stop 14", "8 {}"]);
    }

    #[test]
    fn what_nobody_waits_for_any_more_leaves_the_line_unsent() {
        let mut world = World::with_oob();
        for ticket in 1..=7 {
            world.executes(ticket, |_| {});
        }
        world.executes(101, |_| {});
        world.executes(8, |it| it.timeout = Some(Duration::from_secs(2)));
        world.executes(10, |_| {});
        world.story();
        world.later(2);
        assert_eq!(world.story(), ["8 TimedOut"]);
        world.returns(4, "{}");
        assert_eq!(world.story(), ["1 {}", "stop 13"]);
        world.executes(12, |_| {});
        world.ends();
        let story = world.story();
        assert_eq!(story.len(), 8);
        assert_eq!(story[6..], ["10 Reset", "12 NotConnected"]);
    }

    #[test]
    fn the_librarys_own_commands_stand_in_the_line_too() {
        let mut world = World::with_oob();
        for ticket in 1..=8 {
            world.executes(ticket, |_| {});
        }
        // Someone's job concludes without a word: how it ended is asked for.
        world.hears(
            "{\"event\": \"JOB_STATUS_CHANGE\", \"data\": {\"id\": \"j\", \"status\": \
             \"concluded\"}}",
        );
        world.story();
        world.returns(4, "{}");
        assert_eq!(world.story(), ["1 {}", "stop 11"]);
        world.returns(5, "{}");
        assert_eq!(world.story(), ["2 {}", "query-jobs 12"]);
    }

    #[test]
    fn one_descriptor_is_on_its_way_at_a_time() {
        let mut world = World::ready();
        world.executes(1, |it| it.luggage = Some(50));
        world.executes(2, |it| it.luggage = Some(51));
        world.executes(3, |_| {});
        assert_eq!(world.story(), ["stop 4 with 50"]);
        world.returns(4, "{}");
        assert_eq!(world.story(), ["1 {}", "stop 5 with 51", "stop 6"]);
        world.ends();
        assert_eq!(world.story(), ["2 Reset", "3 Reset"]);
    }

    #[test]
    fn what_qemu_could_not_read_is_refused() {
        let refused = |name, json| Command::<u8>::new(1, name, json).unwrap_err();
        for name in ["", "a b", "a\"", "a\n", "\u{e9}", "qmp_capabilities"] {
            assert_eq!(refused(name, None).code, Code::Invalid, "{name}");
        }
        let error = refused("stop", Some("{\"a\": 1, \"a\": 2}"));
        assert_eq!(error.code, Code::Invalid);
        assert!(error.text.contains("arguments of stop"), "{}", error.text);
        assert!(error.text.contains("\"a\" stands there twice"), "{}", error.text);
        let command = Command::<u8>::new(1, "x-a.b_c", Some("{\n\"a\":\r\n1}")).unwrap();
        assert_eq!(command.arguments.as_deref(), Some("{ \"a\":  1}"));
    }

    #[test]
    fn raw_events_are_told_as_they_are_before_what_they_are_told_as_else() {
        let mut world = World::ready();
        let ready = "{\"event\": \"BLOCK_JOB_READY\", \"data\": {\"device\": \"j\"}}";
        let tell = |world: &mut World| -> Vec<String> {
            world.hears(ready);
            world.hears("{\"event\": \"STOP\"}");
            let told = |act: Act<u8>| match act {
                Act::Tell(event) => Some(format!("{:?} {event}", event.kind)),
                _ => None,
            };
            world.acts.drain(..).filter_map(told).collect()
        };
        assert_eq!(tell(&mut world), ["Ready BLOCK_JOB_READY job=j"]);
        let names = ["STOP".to_owned()].into();
        world.session.want_raw(crate::qmp::decode::Names { all: false, names }.into());
        let stop = "Raw STOP json=\"{\\\"event\\\": \\\"STOP\\\"}\"";
        assert_eq!(tell(&mut world), ["Ready BLOCK_JOB_READY job=j", stop]);
        let all = crate::qmp::decode::Names { all: true, ..Default::default() };
        world.session.want_raw(all.into());
        let told = tell(&mut world);
        assert!(told[0].starts_with("Raw BLOCK_JOB_READY json="), "{told:?}");
        assert_eq!(told[1..], ["Ready BLOCK_JOB_READY job=j", stop]);
    }
}
