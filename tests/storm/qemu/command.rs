//! What a command does, and its reply.

use serde_json::{Value, json};

use super::{
    Qemu, counts,
    job::{Job, SLICE_US, Status},
    listing::{block_listing, listing},
    start::Arguments,
    text::encode,
    truth::{Dismissed, Origin},
    version::{Version, arguments},
    wire::Request,
};

/// An error reply.
#[derive(Debug)]
pub struct Refusal {
    pub class: &'static str,
    pub desc: String,
}

pub fn generic(desc: &str) -> Refusal {
    Refusal { class: "GenericError", desc: desc.into() }
}

impl Refusal {
    fn not_found(desc: String) -> Self {
        Self { class: "CommandNotFound", desc }
    }

    /// QEMU 1.1 has a class for everything.
    pub fn ancient(mut self, version: Version, class: &'static str) -> Self {
        if !version.from(1, 2) {
            self.class = class;
        }
        self
    }
}

/// The line of a reply.
pub fn reply(result: Result<Value, Refusal>, id: Option<&str>, version: Version) -> String {
    let reply = encode(&match result {
        Ok(value) => json!({"return": value}),
        Err(Refusal { class, desc }) if version.from(1, 2) => {
            json!({"error": {"class": class, "desc": desc}})
        }
        Err(Refusal { class, desc }) => {
            json!({"error": {"class": class, "desc": desc, "data": {}}})
        }
    });
    // Old QEMUs know no larger number.
    let clamped = id.filter(|_| !version.from(2, 10)).and_then(|id| id.parse::<u64>().ok());
    let clamped = clamped.map(|id| id.min(i64::MAX.unsigned_abs()).to_string());
    match clamped.as_deref().or(id) {
        Some(id) => format!("{}, \"id\": {id}}}", &reply[..reply.len() - 1]),
        None => reply,
    }
}

impl Qemu {
    pub(super) fn answer(&mut self, request: &Request, origin: &Origin) -> Result<Value, Refusal> {
        let command = match &request.command {
            Ok(command) => command,
            Err(text) => return Err(generic(text).ancient(self.version, "JSONParsing")),
        };
        let name = command.name.as_str();
        match (name, request.negotiating) {
            ("qmp_capabilities", true) => {
                self.check(name, &command.arguments)?;
                let enabled = command.arguments.get("enable").and_then(Value::as_array);
                let enabled = enabled.map_or(&[][..], Vec::as_slice);
                if let Some(other) = enabled.iter().find(|capability| **capability != "oob") {
                    return Err(generic(&format!("Parameter 'enable' does not accept {other}")));
                }
                self.wire.negotiated(request.connection, !enabled.is_empty());
                Ok(json!({}))
            }
            ("qmp_capabilities", false) => Err(Refusal::not_found(
                "Capabilities negotiation is already complete, command ignored".into(),
            )),
            (_, true) => Err(Refusal::not_found(
                "Expecting capabilities negotiation with 'qmp_capabilities'".into(),
            )),
            (_, false) if command.out_of_band => {
                if !self.wire.takes_out_of_band(request.connection) {
                    return Err(generic("QMP input member 'exec-oob' is unexpected"));
                }
                self.check(name, &command.arguments)?;
                if name != "migrate-pause" {
                    return Err(generic(&format!("The command {name} does not support OOB")));
                }
                self.dispatch(name, &command.arguments, origin)
            }
            (name, false) => self.dispatch(name, &command.arguments, origin),
        }
    }

    pub(super) fn dispatch(
        &mut self,
        command: &str,
        given: &Arguments,
        origin: &Origin,
    ) -> Result<Value, Refusal> {
        self.check(command, given)?;
        match command {
            "block-stream" | "block-commit" | "drive-mirror" | "blockdev-mirror"
            | "drive-backup" | "blockdev-backup" | "blockdev-create" | "snapshot-save"
            | "snapshot-load" | "snapshot-delete" => self.start(command, given, origin),
            "transaction" => self.transaction(given, origin),
            "query-jobs" => Ok(self.listed(|job, _| Some(listing(job)))),
            "query-block-jobs" => {
                Ok(self.listed(|job, version| job.is_block().then(|| block_listing(job, version))))
            }
            "query-version" => {
                let Version(major, minor, micro) = self.version;
                Ok(json!({
                    "qemu": {"major": major, "minor": minor, "micro": micro}, "package": "",
                }))
            }
            "query-qmp-schema" => {
                // As long as the real one, and as good to those who do not read it.
                self.slow_us = self.version.schema_us(self.kind);
                let name = "0".repeat(self.version.schema_bytes(self.kind));
                Ok(json!([{"name": name, "meta-type": "builtin", "json-type": "value"}]))
            }
            "migrate-pause" => Err(generic("migrate-pause is for postcopy only")),
            "query-block" | "query-named-block-nodes" | "query-commands" => Ok(json!([])),
            "object-add" | "object-del" | "qom-list" | "blockdev-add" | "blockdev-del" => {
                self.object(command, given)
            }
            "query-status"
            | "human-monitor-command"
            | "cont"
            | "stop"
            | "system_reset"
            | "system_powerdown"
            | "device_add"
            | "device_del" => self.guest_command(command, given),
            "quit" | "x-blockdev-set-iothread" | "chardev-add" => Ok(json!({})),
            other => self.control(other, given, origin),
        }
    }

    /// The command is known, and so are its arguments.
    pub(super) fn check(&self, command: &str, given: &Arguments) -> Result<(), Refusal> {
        let Some(known) = arguments(command, self.kind, self.version) else {
            let text = format!("The command {command} has not been found");
            return Err(Refusal::not_found(text));
        };
        let is_known = |name: &str| {
            known
                .iter()
                .any(|(word, since)| *word == "any" || *word == name && self.version >= *since)
        };
        match given.keys().find(|name| !is_known(name)) {
            Some(name) => Err(generic(&format!("Parameter '{name}' is unexpected"))
                .ancient(self.version, "InvalidParameter")),
            None => Ok(()),
        }
    }

    /// block-job-* and job-*.
    fn control(
        &mut self,
        command: &str,
        given: &Arguments,
        origin: &Origin,
    ) -> Result<Value, Refusal> {
        let text = |name: &str| given.get(name).and_then(Value::as_str);
        let id = text("id").or(text("device")).unwrap_or_default();
        let (verb, block) = match command.strip_prefix("block-job-") {
            Some(verb) => (verb, true),
            None => (command.trim_start_matches("job-"), false),
        };
        let found = self.jobs.values().find(|job| job.id == id && (job.is_block() || !block));
        let Some(job) = found else {
            return Err(if block {
                let desc = format!("Block job '{id}' not found");
                Refusal { class: "DeviceNotActive", desc }
            } else {
                generic("Job not found")
            });
        };
        if !self.accepts(job, verb) {
            let state = job.status.name();
            let text = format!("Job '{id}' in state '{state}' cannot accept command verb '{verb}'");
            return Err(generic(&text));
        }
        let number = job.number;
        match verb {
            "cancel" => {
                let force = given.get("force").and_then(Value::as_bool).unwrap_or(!block);
                if block && !force && job.user_paused {
                    let text = format!("The block job for device '{id}' is currently paused");
                    return Err(generic(&text));
                }
                self.cancel(number, force);
            }
            "pause" => self.pause(number)?,
            "resume" => self.resume(number)?,
            "complete" => {
                if !job.is_mirror() {
                    return Err(generic(&format!("Job '{id}' cannot be completed")));
                }
                let (now, paused) = (self.now_us, job.is_paused());
                let job = self.job(number);
                job.should_complete = true;
                if !paused {
                    job.due_us = now;
                }
            }
            "finalize" => self.finalize_group(number),
            "dismiss" => {
                let by = match origin {
                    Origin::Client(connection) => Dismissed::ByClient(*connection),
                    Origin::Foreign => Dismissed::ByForeign,
                };
                self.dismiss(number, by);
            }
            "change" => self.job(number).actively_synced = true,
            "set-speed" => self.set_speed(number, given)?,
            _ => return Err(Refusal::not_found(format!("The command {command} is not played"))),
        }
        Ok(json!({}))
    }

    fn accepts(&self, job: &Job, verb: &str) -> bool {
        let status = job.status;
        match verb {
            "cancel" => !job.is_over(),
            "complete" => {
                status == Status::Ready || status == Status::Standby && self.version.from(6, 0)
            }
            "finalize" => status == Status::Pending,
            "dismiss" => status == Status::Concluded,
            _ => matches!(
                status,
                Status::Created
                    | Status::Running
                    | Status::Paused
                    | Status::Ready
                    | Status::Standby
            ),
        }
    }

    pub(super) fn cancel(&mut self, number: usize, force: bool) {
        let now = self.soon_us();
        // Up to 2.11 force is about pauses only.
        let old = force && !self.version.from(2, 12);
        let force = force && !old;
        if old && self.job(number).ready && !self.job(number).is_settled() {
            self.counts.add(counts::FORCE_COMPLETES);
        }
        let job = self.job(number);
        if job.is_settled() {
            job.cancelled = true;
            return self.abort_group(number);
        }
        if job.cancelled {
            return;
        }
        if job.ready && !force {
            job.soft_cancelled = true;
        } else {
            job.cancelled = true;
        }
        job.user_paused = false;
        job.due_us = now;
        let works = !job.is_mirror();
        self.wake(number);
        // A sleeping coroutine ends within the command; a mirror has things to wait for.
        if works && now == self.now_us {
            self.work(number);
        }
    }

    fn pause(&mut self, number: usize) -> Result<(), Refusal> {
        let (now, kicks) = (self.now_us, self.version.from(6, 0));
        let job = self.job(number);
        if job.user_paused {
            return Err(generic("Job is already paused"));
        }
        job.user_paused = true;
        if kicks {
            self.work(number);
        } else if job.ready {
            job.due_us = now;
        }
        Ok(())
    }

    fn resume(&mut self, number: usize) -> Result<(), Refusal> {
        let now = self.now_us;
        let job = self.job(number);
        if !job.user_paused {
            return Err(generic("Can't resume a job that was not paused"));
        }
        job.user_paused = false;
        job.io_status = "ok";
        if job.is_paused() {
            job.due_us = now + job.kick_us();
            self.wake(number);
        }
        Ok(())
    }

    fn set_speed(&mut self, number: usize, given: &Arguments) -> Result<(), Refusal> {
        let speed = given.get("speed").and_then(Value::as_i64).unwrap_or(0);
        let (now, version) = (self.now_us, self.version);
        if speed < 0 {
            return Err(generic("Parameter 'speed' expects a non-negative value")
                .ancient(version, "InvalidParameter"));
        }
        let job = self.job(number);
        job.speed = speed;
        if job.is_paused() || job.ready {
            return Ok(());
        }
        // A new limit begins with a new slice of time.
        let round = job.round_us(version).max(if speed == 0 { 0 } else { SLICE_US });
        job.due_us = job.due_us.min(now + round);
        if job.user_paused {
            self.work(number);
        }
        Ok(())
    }

    pub(super) fn job(&mut self, number: usize) -> &mut Job {
        self.jobs.get_mut(&number).expect("it was found")
    }

    /// The youngest first, as QEMU keeps them.
    fn listed(&self, entry: impl Fn(&Job, Version) -> Option<Value>) -> Value {
        self.jobs.values().rev().filter_map(|job| entry(job, self.version)).collect()
    }

    fn object(&mut self, command: &str, given: &Arguments) -> Result<Value, Refusal> {
        let text = |name: &str| given.get(name).and_then(Value::as_str).unwrap_or_default();
        let id = text("id").to_string();
        match command {
            "object-add" if text("qom-type") == "monitor-qmp" => {
                return Err(generic("Parameter 'qom-type' does not accept value 'monitor-qmp'"));
            }
            "object-add" if self.objects.contains_key(&id) => {
                let text = format!(
                    "attempt to add duplicate property '{id}' to object (type 'container')"
                );
                return Err(generic(&text));
            }
            "object-add" => {
                self.objects.insert(id, text("qom-type").into());
            }
            "object-del" if self.objects.remove(&id).is_none() => {
                return Err(generic(&format!("object '{id}' not found")));
            }
            "qom-list" if text("path") == "/objects" => {
                let entry = |(name, kind): (&String, &String)| json!({"name": name, "type": format!("child<{kind}>")});
                return Ok(self.objects.iter().map(entry).collect());
            }
            "qom-list" => return Err(generic(&format!("Path '{}' not found", text("path")))),
            // A server that accepts and says nothing: the command is executed for long.
            "blockdev-add" if text("driver") == "nbd" => {
                self.slow_us = SLOW_US;
                return Err(generic("Failed to read initial magic: Unexpected end-of-file"));
            }
            "blockdev-add" => {
                let name = text("node-name").to_string();
                if given.contains_key("backing") {
                    self.backing.insert(name.clone(), text("backing").into());
                }
                self.nodes.insert(name, false);
            }
            "blockdev-del" if self.holder(text("node-name")).is_some() => {
                return Err(generic(&format!("Node '{}' is busy", text("node-name"))));
            }
            "blockdev-del" => {
                self.nodes.remove(text("node-name"));
            }
            _ => {}
        }
        Ok(json!({}))
    }
}

/// How long a slow command is executed.
const SLOW_US: u64 = 1_500_000;
