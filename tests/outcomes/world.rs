//! One session, its jobs, and a script in the place of QEMU: what it wants done becomes lines to
//! compare, and time goes as a test says.

use std::time::Duration;

use blockjob::{
    model::{
        Code, Error, Event, Identity, JobInfo, Kind, Loss, Now, Origin, Outcome, Pivot, Process,
        Settings, Timestamp, Word,
    },
    qmp::{
        act::Act,
        command::Command,
        control::Control,
        jobs::Watch,
        journal::{Findings, Request},
        session::{Session, Ticket},
    },
};

/// A ticket by its number, for whom somebody always waits.
#[derive(Debug)]
pub struct Number(pub u32);

impl Ticket for Number {
    type Listing = Number;
    type Luggage = ();

    fn is_void(&self) -> bool {
        false
    }
}

pub struct World {
    pub session: Session<Number>,
    acts: Vec<Act<Number>>,
    pub now: Now,
    version: &'static str,
    /// The number of the last command that the session sent.
    sent: u32,
    /// Lines of what happened, until they are taken.
    story: Vec<String>,
    /// What it said for the log.
    pub log: Vec<String>,
    pub requests: Vec<Request>,
    pub ends: Vec<Event>,
    /// What the last list said.
    pub infos: Vec<JobInfo>,
    identity: Option<Identity>,
}

pub const ONE: Option<Identity> = Some(Identity { pid: 7, started: 100 });
pub const OTHER: Option<Identity> = Some(Identity { pid: 7, started: 200 });

pub fn settings() -> Settings {
    Settings { owner: Some("own".into()), ..Settings::default() }
}

impl World {
    /// A monitor that is about to connect to a QEMU of this version, "7.2" or the like.
    pub fn new(version: &'static str, settings: Settings) -> Self {
        let now = Now {
            running: Duration::from_secs(1000),
            wall: Timestamp { seconds: 1000, microseconds: 0 },
        };
        let session = Session::new(settings.into(), "nonce", "id-".into());
        Self {
            session,
            acts: Vec::new(),
            now,
            version,
            sent: 0,
            story: Vec::new(),
            log: Vec::new(),
            requests: Vec::new(),
            ends: Vec::new(),
            infos: Vec::new(),
            identity: ONE,
        }
    }

    /// One that is connected, to a QEMU without jobs.
    pub fn connected(version: &'static str) -> Self {
        Self::connected_with(version, settings())
    }

    pub fn connected_with(version: &'static str, settings: Settings) -> Self {
        let mut world = Self::new(version, settings);
        world.begins();
        world.meets(ONE);
        world.reconciles("", "");
        // Where there is a journal, it is asked how far it goes.
        if world.requests.pop().is_some() {
            world.finds(Findings::default());
        }
        world.story();
        world
    }

    /// One of which nothing but the greeting was heard.
    pub fn greeted(version: &'static str) -> Self {
        let mut world = Self::new(version, settings());
        world.begins();
        world.connects(ONE);
        world.greets();
        world
    }

    /// The program starts the monitor.
    pub fn begins(&mut self) {
        self.session.start(None, self.now, &mut self.acts);
        self.act();
    }

    /// The connection stands, and QEMU has agreed.
    pub fn meets(&mut self, identity: Option<Identity>) {
        self.connects(identity);
        self.greets();
        self.agrees();
    }

    /// The connection stands, and nothing was said.
    pub fn connects(&mut self, identity: Option<Identity>) {
        self.identity = identity;
        self.session.handle_connected(identity, self.now, &mut self.acts);
        self.act();
    }

    pub fn greets(&mut self) {
        let (major, rest) = self.version.split_once('.').unwrap();
        let (minor, micro) = rest.split_once('.').unwrap_or((rest, "0"));
        self.hears(&format!(
            "{{\"QMP\": {{\"version\": {{\"qemu\": {{\"micro\": {micro}, \"minor\": {minor}, \"major\": \
             {major}}}, \"package\": \"\"}}, \"capabilities\": []}}}}"
        ));
    }

    pub fn agrees(&mut self) {
        self.replies("{}");
    }

    /// QEMU says which jobs it has, as members of the two lists.
    pub fn reconciles(&mut self, jobs: &str, block_jobs: &str) {
        if self.version.starts_with('2') || self.version.starts_with('1') {
            self.replies(&format!("[{block_jobs}]"));
        } else {
            let first = self.sent - 1;
            self.replies_to(first, &format!("\"return\": [{jobs}]"));
            self.replies(&format!("[{block_jobs}]"));
        }
    }

    /// The reply to the last command.
    pub fn replies(&mut self, value: &str) {
        self.replies_to(self.sent, &format!("\"return\": {value}"));
    }

    pub fn refuses(&mut self, class: &str, description: &str) {
        let error = format!("\"error\": {{\"class\": \"{class}\", \"desc\": \"{description}\"}}");
        self.replies_to(self.sent, &error);
    }

    pub fn replies_to(&mut self, number: u32, what: &str) {
        self.hears(&format!("{{{what}, \"id\": \"id-{number}\"}}"));
    }

    pub fn last_command(&self) -> u32 {
        self.sent
    }

    /// A status change, a moment after what was before.
    pub fn status(&mut self, id: &str, statuses: &str) {
        for status in statuses.split_whitespace() {
            let data = format!("{{\"status\": \"{status}\", \"id\": \"{id}\"}}");
            self.event("JOB_STATUS_CHANGE", &data);
        }
    }

    /// COMPLETED of a job that moved all of `len`; with an error if there is one.
    pub fn completed(&mut self, id: &str, job_type: &str, error: Option<&str>) {
        let error = error.map(|text| format!(", \"error\": \"{text}\"")).unwrap_or_default();
        self.event("BLOCK_JOB_COMPLETED", &ended(id, job_type, &error));
    }

    pub fn cancelled(&mut self, id: &str, job_type: &str) {
        self.event("BLOCK_JOB_CANCELLED", &ended(id, job_type, ""));
    }

    pub fn ready(&mut self, id: &str, job_type: &str) {
        self.status(id, "ready");
        self.event("BLOCK_JOB_READY", &ended(id, job_type, ""));
    }

    pub fn event(&mut self, name: &str, data: &str) {
        let line = self.line(name, data);
        self.hears(&line);
    }

    /// The text of an event that happens now.
    pub fn line(&mut self, name: &str, data: &str) -> String {
        self.now.wall.microseconds += 1;
        let Timestamp { seconds, microseconds } = self.now.wall;
        format!(
            "{{\"timestamp\": {{\"seconds\": {seconds}, \"microseconds\": {microseconds}}}, \
             \"event\": \"{name}\", \"data\": {data}}}"
        )
    }

    /// The texts of status changes of a job, which happen now, one after another.
    pub fn way<const N: usize>(&mut self, id: &str, statuses: [&str; N]) -> [String; N] {
        statuses.map(|status| {
            let data = format!(r#"{{"id": "{id}", "status": "{status}"}}"#);
            self.line("JOB_STATUS_CHANGE", &data)
        })
    }

    /// QEMU is being quit.
    pub fn shuts_down(&mut self) {
        self.event("SHUTDOWN", r#"{"guest": false, "reason": "host-qmp-quit"}"#);
    }

    pub fn hears(&mut self, line: &str) {
        let bytes = format!("{line}\r\n");
        self.session.handle_bytes(bytes.as_bytes(), self.now, &mut self.acts);
        self.act();
    }

    pub fn hears_bytes(&mut self, bytes: &[u8]) {
        self.session.handle_bytes(bytes, self.now, &mut self.acts);
        self.act();
    }

    pub fn drops(&mut self) {
        let error = Error::new(Code::Reset, "QEMU closed the connection");
        self.session.handle_end(&error, self.now, &mut self.acts);
        self.act();
    }

    /// The connection drops, and is made again.
    pub fn drops_and_meets(&mut self, identity: Option<Identity>) {
        self.drops();
        self.later(6);
        self.meets(identity);
    }

    pub fn process_ends(&mut self) {
        self.session.handle_process_end(self.now, &mut self.acts);
        self.act();
    }

    pub fn later(&mut self, seconds: u64) {
        self.now.running += Duration::from_secs(seconds);
        self.now.wall.seconds += i64::try_from(seconds).unwrap();
        self.session.handle_timeout(self.now, &mut self.acts);
        self.act();
    }

    pub fn finds(&mut self, findings: Findings) {
        self.session.handle_findings(findings, self.now, &mut self.acts);
        self.act();
    }

    pub fn closes(&mut self) {
        self.session.close("as asked", self.now, &mut self.acts);
        self.act();
    }

    pub fn watches(&mut self, handle: u64, id: &str, flags: &[&str]) {
        let watch = Watch {
            handle,
            id: id.into(),
            exists: flags.contains(&"exists"),
            made: flags.contains(&"made"),
            adopt: flags.contains(&"adopt"),
            ended: None,
        };
        self.session.watch(&watch, Number(99), self.now, &mut self.acts);
        self.act();
        let answer = self.story.pop();
        assert!(answer.as_deref().is_some_and(|line| line.starts_with("answer 99")), "{answer:?}");
    }

    /// Makes a handle and starts its job by a stream.
    pub fn starts(&mut self, handle: u64, id: &str) {
        self.watches(handle, id, &["made"]);
        self.starts_watched(handle, "block-stream");
    }

    /// The first handle's job, by this command, which QEMU begins and accepts.
    pub fn starts_as(&mut self, id: &str, command: &str) {
        self.watches(1, id, &["made"]);
        self.starts_watched(1, command);
        self.status(id, "created running");
        self.replies("{}");
    }

    pub fn starts_watched(&mut self, handle: u64, command: &str) {
        let ticket = Number(u32::try_from(handle).unwrap());
        let arguments = "{\"device\": \"d\"}";
        self.session.start_job(handle, command, arguments, ticket, self.now, &mut self.acts);
        self.act();
    }

    /// The time of who waited for the answer to a start is over.
    pub fn leaves_start(&mut self, handle: u64) {
        self.session.leave_start(handle, self.now, &mut self.acts);
        self.act();
    }

    pub fn asks(&mut self, handle: u64, control: Control) {
        self.session.ask_job(handle, control, Number(50), &mut self.acts);
        self.act();
    }

    /// Looks at the job of a handle, or at all jobs.
    pub fn looks(&mut self, handle: Option<u64>) {
        self.session.look(handle, Number(70), &mut self.acts);
        self.act();
    }

    pub fn dismisses(&mut self, job: u64) {
        self.session.dismiss_job(job, Number(61), self.now, &mut self.acts);
        self.act();
    }

    /// Sends a command of the program's own.
    pub fn executes(&mut self, command: &str, arguments: &str) {
        let command = Command::new(70, command, Some(arguments)).unwrap();
        self.session.execute(command, Number(70), self.now, &mut self.acts);
        self.act();
    }

    pub fn acknowledges(&mut self, job: u64) {
        self.session.acknowledge(job, Some(Number(60)), self.now, &mut self.acts);
        self.act();
    }

    /// What happened since this was last asked.
    pub fn story(&mut self) -> Vec<String> {
        std::mem::take(&mut self.story)
    }

    /// The ends among it.
    pub fn ends(&mut self) -> Vec<String> {
        self.story().into_iter().filter(|line| line.starts_with("end ")).collect()
    }

    fn act(&mut self) {
        for act in std::mem::take(&mut self.acts) {
            let line = match act {
                Act::Connect => "connect".into(),
                Act::FindHolder => "find holder".into(),
                Act::Send(bytes) => {
                    let text = String::from_utf8(bytes).unwrap();
                    let (command, id) = text.trim().rsplit_once(",\"id\":\"id-").unwrap();
                    self.sent = id.trim_end_matches("\"}").parse().unwrap();
                    let command =
                        command.replace("{\"execute\":", "").replace("\"arguments\":", "");
                    format!("send {}", command.replace('"', ""))
                }
                Act::SendWith(..) => unreachable!("no story passes a descriptor"),
                Act::Reply(Number(ticket), Ok(response)) => {
                    format!("reply {ticket} {:?}", response.failure)
                }
                Act::Reply(Number(ticket), Err(error)) => {
                    format!("reply {ticket} {:?}", error.code)
                }
                Act::Disconnect => "disconnect".into(),
                Act::Stands(state, _) => format!("stands {state:?}"),
                Act::Tell(event) => format!("tell {}", told(&event)),
                Act::End(end) => {
                    let handles = match end.handles.as_slice() {
                        [] => String::new(),
                        handles => format!(" for {handles:?}"),
                    };
                    let line = format!("end {} {}{handles}", end.job, told(&end.event));
                    self.ends.push(end.event);
                    line
                }
                Act::Attach { handle, job } => format!("attach {handle} to {job}"),
                Act::Read(request) => {
                    let ids: Vec<_> = request.wanted.iter().map(|it| it.id.as_str()).collect();
                    let line = format!("read for {}", ids.join(" "));
                    self.requests.push(request);
                    line
                }
                Act::Answer(Number(ticket), Ok(())) => format!("answer {ticket} ok"),
                Act::Answer(Number(ticket), Err(error)) => {
                    format!("answer {ticket} {:?}", error.code)
                }
                Act::List(Number(ticket), Ok(list)) => {
                    self.infos = list;
                    format!("list {ticket}")
                }
                Act::List(Number(ticket), Err(error)) => format!("list {ticket} {:?}", error.code),
                Act::Log(_, text) => {
                    self.log.push(text);
                    continue;
                }
                Act::Count(_) => continue,
            };
            self.story.push(line);
        }
    }
}

fn ended(id: &str, job_type: &str, error: &str) -> String {
    format!(
        "{{\"device\": \"{id}\", \"len\": 8, \"offset\": 8, \"speed\": 0, \"type\": \
         \"{job_type}\"{error}}}"
    )
}

/// An event in short.
fn told(event: &Event) -> String {
    let id = event.text(Word::JobId).unwrap_or("-");
    if !event.kind.is_final() {
        let name = event.text(Word::Name).unwrap();
        let status =
            event.text(Word::StatusName).map(|word| format!(" {word}")).unwrap_or_default();
        let recovered =
            event.own().recovered.map(|number| format!(" recovered={number}")).unwrap_or_default();
        let process = match event.own().process {
            Some(Process::Unknown) => " process=unknown",
            Some(Process::Same) => " process=same",
            Some(Process::Restarted) => " process=restarted",
            _ => "",
        };
        let progress = match (event.offset, event.len, event.speed) {
            (Some(offset), Some(len), Some(speed)) if event.kind == Kind::Progress => {
                format!(" {offset}/{len} at {speed}")
            }
            _ => String::new(),
        };
        return format!("{name} {id}{status}{progress}{recovered}{process}");
    }
    let outcome = match (event.kind, event.outcome) {
        (Kind::Lost, _) => format!("lost {}", loss(event.loss.unwrap())),
        (_, Outcome::Succeeded) => "succeeded".into(),
        (_, Outcome::Failed) => format!("failed {:?}", event.text(Word::Error).unwrap_or("?")),
        (_, Outcome::Cancelled) => "cancelled".into(),
        (_, Outcome::Unknown) => "?".into(),
    };
    let origin = match event.origin {
        Origin::Live => "",
        Origin::Recovered => " recovered",
        Origin::Inferred => " inferred",
    };
    let pivoted = match event.pivoted {
        Pivot::Yes => " pivoted",
        Pivot::Unknown if event.kind != Kind::Lost => " pivot?",
        _ => "",
    };
    format!("{id} {outcome}{origin}{pivoted}")
}

fn loss(loss: Loss) -> String {
    format!("{loss:?}")
}
