//! What the program asks of a job that runs, and by which of QEMU's commands. Part of [`Session`].
//!
//! QEMU has two families of commands: `block-job-` for block jobs, from 1.1 on, and `job-` for all
//! jobs, from 3.0 on, which knows neither a soft cancel nor a speed.

use super::{
    act::Act,
    asked::Verb,
    encode::{member, string},
    exchange::Purpose,
    job::{Job, Stage},
    session::{Session, Ticket},
};
use crate::model::{Code, Error, Now, Version};

/// What may be asked of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    Pause,
    Resume,
    Complete,
    Cancel { force: bool },
    Finalize,
    SetSpeed(i64),
    Dismiss,
}

impl<T: Ticket> Session<T> {
    /// Asks something of the job of a handle; the ticket is answered by QEMU's reply.
    pub fn ask_job(&mut self, handle: u64, control: Control, ticket: T, acts: &mut Vec<Act<T>>) {
        let gone = || Error::new(Code::NotFound, "its end was told, or QEMU has no such job");
        let found = self.check_ready().and_then(|()| {
            let (number, _) = self.jobs.watched(handle).ok_or_else(gone)?;
            Ok((number, self.command(number, control)?))
        });
        match found {
            Ok((job, command)) => self.ask(job, control, command, Some(ticket), acts),
            Err(error) => acts.push(Act::Answer(ticket, Err(error))),
        }
    }

    /// The program has taken this end, and wants the job dismissed, whoever started it.
    pub fn dismiss_job(&mut self, job: u64, ticket: T, now: Now, acts: &mut Vec<Act<T>>) {
        let stage = self.jobs.all.get_mut(&job).map(|job| {
            job.ours = true;
            job.stage
        });
        if !matches!(stage, Some(Stage::Ended { lost: true, .. })) {
            return self.acknowledge(job, Some(ticket), now, acts);
        }
        // Nobody knows how QEMU has it, if it does: QEMU decides.
        self.jobs.acknowledge(job);
        let command = self.check_ready().and_then(|()| self.command(job, Control::Dismiss));
        match command {
            Ok(command) => self.ask(job, Control::Dismiss, command, Some(ticket), acts),
            Err(error) => acts.push(Act::Answer(ticket, Err(error))),
        }
    }

    /// QEMU has answered. What it is asked instead becomes an act, and `None`; else this is how it
    /// answered.
    pub(super) fn handle_asked(
        &mut self,
        (job, control, again): (u64, Control, bool),
        answer: Result<(), Error>,
        ticket: &mut Option<T>,
        acts: &mut Vec<Act<T>>,
    ) -> Option<Result<(), Error>> {
        let no_block_job = answer.as_ref().is_err_and(is_no_block_job);
        if no_block_job && !again && self.jobs.version.has_status() && self.lives_as_no_block(job) {
            match control {
                Control::Cancel { .. } => {
                    let id = self.jobs.id(job).expect("it lives");
                    let arguments = member("id", id);
                    let purpose = Purpose::Ask { job, control, again: true };
                    let name = "job-cancel";
                    self.send(name, Some(&arguments), purpose, ticket.take(), acts);
                    return None;
                }
                Control::SetSpeed(_) => return Some(Err(has_no_speed())),
                _ => {}
            }
        }
        if let Some(verb) = verb(control) {
            self.jobs.answered(job, verb, answer.is_ok());
        }
        if control == Control::Dismiss && answer.is_ok() {
            self.jobs.dismissed(job);
        }
        Some(answer)
    }

    fn ask(
        &mut self,
        job: u64,
        control: Control,
        (name, arguments): (&'static str, String),
        ticket: Option<T>,
        acts: &mut Vec<Act<T>>,
    ) {
        if let Some(verb) = verb(control) {
            self.jobs.asking(job, verb);
        }
        let purpose = Purpose::Ask { job, control, again: false };
        self.send(name, Some(&arguments), purpose, ticket, acts);
    }

    fn command(&self, job: u64, control: Control) -> Result<(&'static str, String), Error> {
        let version = self.version.expect("a monitor that is ready has been greeted");
        let job = self.jobs.all.get(&job).expect("it was found just now");
        command(version, job, control)
    }

    /// QEMU has it, as far as is known, and has just said that it has no block job of that id.
    fn lives_as_no_block(&self, job: u64) -> bool {
        let lives = |job: &Box<Job>| {
            matches!(job.stage, Stage::Living | Stage::Starting)
                && job.held.is_none()
                && !job.is_block()
        };
        self.jobs.all.get(&job).is_some_and(lives)
    }
}

/// QEMU's command, and its arguments.
fn command(version: Version, job: &Job, control: Control) -> Result<(&'static str, String), Error> {
    let is = |major, minor| version.is_from(major, minor);
    let (device, id) = (|| member("device", &job.id), || member("id", &job.id));
    let lacks = |deed: &str, since: &str| {
        let (major, minor) = (version.major, version.minor);
        let text =
            format!("QEMU {major}.{minor} has no command to {deed}, which came with {since}");
        Err(Error::new(Code::NotSupported, text))
    };
    Ok(match control {
        Control::Pause if is(3, 0) => ("job-pause", id()),
        Control::Pause if is(1, 3) => ("block-job-pause", device()),
        Control::Pause => return lacks("pause a job", "1.3"),
        Control::Resume if is(3, 0) => ("job-resume", id()),
        Control::Resume if is(1, 3) => ("block-job-resume", device()),
        Control::Resume => return lacks("resume a job", "1.3"),
        Control::Complete if is(3, 0) => ("job-complete", id()),
        Control::Complete if is(1, 3) => ("block-job-complete", device()),
        Control::Complete => return lacks("complete a job", "1.3"),
        Control::Finalize if is(3, 0) => ("job-finalize", id()),
        Control::Finalize if is(2, 12) => ("block-job-finalize", id()),
        Control::Finalize => return lacks("finalize a job", "2.12"),
        Control::Dismiss if is(3, 0) => ("job-dismiss", id()),
        Control::Dismiss if is(2, 12) => ("block-job-dismiss", id()),
        Control::Dismiss => return lacks("dismiss a job", "2.12"),
        // Only block jobs are ever ready, and only of those a soft cancel is another one.
        Control::Cancel { .. } if job.is_no_block() => ("job-cancel", id()),
        Control::Cancel { force: false } => ("block-job-cancel", device()),
        Control::Cancel { force: true } if is(1, 3) => {
            let device = string(&job.id);
            ("block-job-cancel", format!("{{\"device\":{device},\"force\":true}}"))
        }
        Control::Cancel { force: true } => return lacks("cancel a job by force", "1.3"),
        Control::SetSpeed(_) if job.is_no_block() => return Err(has_no_speed()),
        Control::SetSpeed(speed) => {
            let device = string(&job.id);
            ("block-job-set-speed", format!("{{\"device\":{device},\"speed\":{speed}}}"))
        }
    })
}

/// As far as the end of a job depends on it.
fn verb(control: Control) -> Option<Verb> {
    match control {
        Control::Complete => Some(Verb::Complete),
        Control::Cancel { force } => Some(Verb::Cancel { force }),
        _ => None,
    }
}

/// By its class, since 1.2, and never by its words.
fn is_no_block_job(error: &Error) -> bool {
    error.class.as_deref() == Some("DeviceNotActive")
}

fn has_no_speed() -> Error {
    let text = "it is no block job, and QEMU limits the speed of block jobs alone";
    Error::new(Code::NotSupported, text)
}
