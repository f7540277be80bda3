//! The guest and its devices: what they say between the jobs' events, and do to the jobs.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use super::{
    Qemu,
    command::{Refusal, generic},
    job::{Fault, ROUND_US},
    start::Arguments,
};

#[derive(Clone, Debug, Default)]
pub struct Guest {
    runs: bool,
    /// It was stopped by an I/O error of its own.
    io_error: bool,
    /// Devices that can be plugged out, and the nodes that they stand on.
    devices: BTreeMap<String, String>,
    /// The drive that it fails to read whenever it runs.
    bad_drive: Option<String>,
    /// What the main loop has yet to tell, in the order of its time.
    later: VecDeque<Later>,
}

#[derive(Clone, Debug)]
struct Later {
    due_us: u64,
    event: &'static str,
    data: Value,
}

impl Qemu {
    /// A device that stands on this node.
    pub fn add_guest_device(&mut self, device: &str, node: &str) {
        self.guest.devices.insert(device.into(), node.into());
    }

    /// The guest runs and reads from a drive that it cannot read; it stops for that.
    pub fn add_bad_drive(&mut self, drive: &str, found_us: u64) {
        self.guest.bad_drive = Some(drive.into());
        self.guest_reads(found_us);
    }

    pub(super) fn guest_command(
        &mut self,
        command: &str,
        given: &Arguments,
    ) -> Result<Value, Refusal> {
        let text = |name: &str| given.get(name).and_then(Value::as_str).unwrap_or_default();
        match command {
            "query-status" => {
                let status = match &self.guest {
                    guest if guest.runs => "running",
                    guest if guest.io_error => "io-error",
                    _ => "prelaunch",
                };
                let runs = self.guest.runs;
                return Ok(json!({"status": status, "running": runs, "singlestep": false}));
            }
            "human-monitor-command" => {
                let (half, line) =
                    (if self.version.from(8, 0) { 2 } else { 1 }, text("command-line"));
                self.blip(half);
                if let Some((node, _)) =
                    line.strip_prefix("qemu-io ").and_then(|l| l.split_once(' '))
                {
                    self.guest_writes(node);
                }
                self.blip(half);
                return Ok(json!(""));
            }
            "cont" => {
                (self.guest.runs, self.guest.io_error) = (true, false);
                self.emit("RESUME", &Value::Null);
                self.guest_reads(self.now_us + ROUND_US);
            }
            "stop" => {
                self.guest.runs = false;
                self.emit("STOP", &Value::Null);
                self.blip(1);
            }
            "device_add" => self.add_guest_device(text("id"), text("drive")),
            "device_del" => return self.unplug(text("id")),
            _ => {
                let event = if command == "system_reset" { "RESET" } else { "POWERDOWN" };
                // This is the main loop's to do, which comes round before or after the reply.
                if self.version.replies_late() {
                    self.emit(event, &Value::Null);
                } else {
                    self.tell_later(self.now_us, event, Value::Null);
                }
            }
        }
        Ok(json!({}))
    }

    fn unplug(&mut self, device: &str) -> Result<Value, Refusal> {
        let Some(node) = self.guest.devices.remove(device) else {
            return Err(generic(&format!("Device '{device}' not found")));
        };
        self.blip(1);
        // What stood behind the device from the start goes with it, and so do the jobs on it.
        if self.nodes.get(&node) == Some(&true) {
            if let Some(number) = self.holder(&node).map(|job| job.number) {
                self.cancel(number, true);
            }
        }
        let path = format!("/machine/peripheral/{device}");
        let data = json!({"device": device, "path": path});
        self.tell_later(self.now_us + UNPLUG_US, "DEVICE_DELETED", data);
        Ok(json!({}))
    }

    fn guest_reads(&mut self, at_us: u64) {
        let Some(drive) = self.guest.bad_drive.clone() else { return };
        let data = json!({"device": drive, "operation": "read", "action": "stop"});
        self.tell_later(at_us, "BLOCK_IO_ERROR", data);
        self.tell_later(at_us + ROUND_US, "STOP", Value::Null);
        (self.guest.runs, self.guest.io_error) = (false, true);
    }

    /// A ready mirror of this node has something to copy again.
    fn guest_writes(&mut self, node: &str) {
        let copies = |job: &&super::job::Job| job.ready && job.is_mirror() && job.nodes[0] == node;
        let Some(number) = self.jobs.values().find(copies).map(|job| job.number) else { return };
        let (now, job) = (self.now_us, self.job(number));
        job.len += WRITTEN_BYTES;
        if job.fault != Some(Fault::OnceReady) {
            job.offset = job.len;
            return;
        }
        job.error = Some("Input/output error".into());
        job.due_us = now + ROUND_US;
        let data = json!({"device": job.id, "operation": "write", "action": "report"});
        self.emit("BLOCK_JOB_ERROR", &data);
    }

    fn tell_later(&mut self, due_us: u64, event: &'static str, data: Value) {
        let at = self.guest.later.partition_point(|later| later.due_us <= due_us);
        self.guest.later.insert(at, Later { due_us, event, data });
    }

    /// True: something was told.
    pub(super) fn tell_due(&mut self) -> bool {
        let now = self.now_us;
        if self.guest.later.front().is_none_or(|later| later.due_us > now) {
            return false;
        }
        let Some(later) = self.guest.later.pop_front() else { return false };
        if later.event == "DEVICE_DELETED" {
            self.blip(2);
        }
        self.emit(later.event, &later.data);
        true
    }

    /// When something is to be told next.
    pub(super) fn next_told_us(&self) -> Option<u64> {
        self.guest.later.front().map(|later| later.due_us)
    }
}

/// Until the guest has let go of a device.
const UNPLUG_US: u64 = 50_000;
const WRITTEN_BYTES: i64 = 64 << 10;
