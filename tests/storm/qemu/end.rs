//! How the process ends, and its jobs before it.

use serde_json::{Value, json};

use super::{
    Qemu, State, counts,
    job::Job,
    truth::Dismissed,
    version::Kind,
    wire::{ConnectionId, Wire},
};

impl Qemu {
    pub(super) fn shut_down(&mut self, reason: &str, reply: Option<(ConnectionId, &str)>) {
        self.end_exits();
        let late = self.version.replies_late();
        let speak = |wire: &mut Wire, version| {
            if let Some((connection, line)) = reply {
                wire.reply(connection, line, version);
            }
        };
        if !late {
            speak(&mut self.wire, self.version);
        }
        if self.kind == Kind::System {
            let data = match self.version {
                version if version.from(4, 0) => json!({"guest": false, "reason": reason}),
                version if version.from(2, 10) => json!({"guest": false}),
                _ => Value::Null,
            };
            self.emit("SHUTDOWN", &data);
        }
        // The storage daemon of 5.2 forgets its jobs.
        if self.kind == Kind::System || late {
            self.cancel_all();
        } else if self.jobs.values().any(|job| !job.is_over()) {
            self.counts.add(counts::WORDLESS);
        }
        if late {
            speak(&mut self.wire, self.version);
        }
        let cut = self.chance.one_in(self.odds.truncated_tail);
        self.exit(cut);
    }

    pub(super) fn exit(&mut self, cut: bool) {
        if self.state == State::Exited {
            return;
        }
        self.state = State::Exited;
        for number in std::mem::take(&mut self.jobs).into_keys() {
            let truth = &mut self.truths[number];
            truth.dismissed = Some(Dismissed::WithProcess);
            truth.gone_us = Some(self.now_us);
        }
        let chance = &mut self.chance;
        self.wire.end(|length| if cut { chance.index(length + 1) } else { length });
    }

    /// The process ends, and its jobs before it.
    fn cancel_all(&mut self) {
        if self.version.replies_late() {
            self.blip(if self.version.from(8, 0) { 2 } else { 1 });
        }
        for number in self.jobs.keys().rev().copied().collect::<Vec<_>>() {
            let Some(job) = self.jobs.get_mut(&number) else { continue };
            if job.is_over() {
                continue;
            }
            let ready = job.ready && !job.is_settled() && !job.cancelled;
            if ready {
                let completes = !self.version.quit_forces();
                self.counts.add(if completes {
                    counts::QUIT_COMPLETES
                } else {
                    counts::QUIT_CANCELS
                });
            }
            let Some(job) = self.jobs.get_mut(&number) else { continue };
            if ready && !self.version.quit_forces() {
                job.finished = true;
                self.wake(number);
                self.job_exit(number);
                // It may wait for somebody to finalize it.
                if self.jobs.get(&number).is_none_or(Job::is_over) {
                    continue;
                }
            }
            if let Some(job) = self.jobs.get_mut(&number) {
                job.cancelled = true;
                self.abort_group(number);
            }
        }
        for number in self.jobs.keys().rev().copied().collect::<Vec<_>>() {
            self.dismiss(number, Dismissed::WithProcess);
        }
    }
}
