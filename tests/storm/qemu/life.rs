//! The life of a job: its rounds, its end, and the order in which it is told.

use serde_json::json;

use super::{
    Qemu, counts,
    job::{Fault, NEVER, Policy, ROUND_US, Status, Work},
    truth::{Dismissed, Ending, Outcome},
};

impl Qemu {
    pub(super) fn status(&mut self, number: usize, status: Status) {
        let Some(job) = self.jobs.get_mut(&number) else { return };
        if job.status == status && status != Status::Created {
            return;
        }
        job.status = status;
        let id = job.id.clone();
        if self.version.has_statuses() {
            let data = json!({"status": status.name(), "id": id});
            let (line, _) = self.emit("JOB_STATUS_CHANGE", &data);
            if status == Status::Created {
                self.truths[number].created = Some(line);
            }
        }
    }

    pub(super) fn run(&mut self, number: usize) {
        self.truths[number].ran = true;
        self.status(number, Status::Running);
        if self.jobs[&number].work == Work::Backup {
            self.status(number, Status::Paused);
        }
    }

    /// The second half of a start: the node is no longer drained, and the first round begins.
    pub(super) fn run_on(&mut self, number: usize) {
        self.status(number, Status::Running);
        let soon = self.soon_us();
        let Some(job) = self.jobs.get_mut(&number) else { return };
        job.due_us = soon + job.round_us;
        let fails_at_once =
            job.work == Work::Other("create") && matches!(job.fault, Some(Fault::Silent(_)));
        if job.len == 0 || fails_at_once {
            self.work(number);
        }
    }

    /// A round of its coroutine.
    pub(super) fn work(&mut self, number: usize) {
        let version = self.version;
        let Some(job) = self.jobs.get_mut(&number) else { return };
        job.due_us = NEVER;
        if job.cancelled || job.error.is_some() {
            return self.finish(number);
        }
        if job.user_paused {
            let paused = if job.ready { Status::Standby } else { Status::Paused };
            return self.status(number, paused);
        }
        if job.ready {
            if job.should_complete || job.soft_cancelled {
                self.finish(number);
            }
            return;
        }
        if self.fail(number) {
            return;
        }
        let soon = self.soon_us();
        let Some(job) = self.jobs.get_mut(&number) else { return };
        if job.endless {
            return;
        }
        job.offset = (job.offset + job.chunk(version)).min(job.len);
        job.due_us = soon + job.round_us(version);
        if job.offset < job.len {
            return;
        }
        if !job.is_mirror() {
            return self.finish(number);
        }
        // A mirror within its limit of speed waits with all bytes copied.
        if job.speed > 0 && !job.slept {
            job.slept = true;
            return;
        }
        self.become_ready(number);
    }

    fn become_ready(&mut self, number: usize) {
        let Some(job) = self.jobs.get_mut(&number) else { return };
        job.ready = true;
        job.due_us = NEVER;
        let data = job.data();
        self.status(number, Status::Ready);
        self.emit("BLOCK_JOB_READY", &data);
    }

    /// What was planned to go wrong here. True: the round is over.
    fn fail(&mut self, number: usize) -> bool {
        let now = self.now_us;
        let Some(job) = self.jobs.get_mut(&number) else { return true };
        let (at, write, no_space, once) = match &job.fault {
            Some(Fault::Silent(text)) => {
                job.error = Some(text.clone());
                if job.is_block() {
                    // It has not even learned how much there is to do.
                    job.len = 0;
                }
                self.finish(number);
                return true;
            }
            Some(Fault::Io { at, write, no_space, once }) => (*at, *write, *no_space, *once),
            _ => return false,
        };
        if job.offset < at {
            return false;
        }
        if once {
            job.fault = None;
        }
        let policy = if write { job.write_policy } else { job.read_policy };
        let action = match policy {
            Policy::Ignore => "ignore",
            Policy::Stop => "stop",
            Policy::NoSpace if no_space => "stop",
            Policy::NoSpace | Policy::Report => "report",
        };
        let text = if no_space { "No space left on device" } else { "Input/output error" };
        let mut goes_on = false;
        job.due_us = now + ROUND_US;
        match action {
            "report" => job.error = Some(text.into()),
            "stop" => {
                job.user_paused = true;
                job.io_status = if no_space { "nospace" } else { "failed" };
                job.due_us = NEVER;
            }
            // The stream goes on and remembers it; the others try again.
            _ if job.work == Work::Stream => {
                job.remembered.get_or_insert_with(|| text.into());
                goes_on = true;
            }
            _ => {}
        }
        let operation = if write { "write" } else { "read" };
        let data = json!({"device": job.id, "operation": operation, "action": action});
        // QEMU 1.1 has no such event: there the job just fails.
        if self.version.from(1, 3) {
            self.emit("BLOCK_JOB_ERROR", &data);
        }
        if action == "stop" {
            self.status(number, Status::Paused);
        }
        !goes_on
    }

    /// Its work is done, well or not; the main loop will take note.
    pub(super) fn finish(&mut self, number: usize) {
        let Some(job) = self.jobs.get_mut(&number) else { return };
        job.finished = true;
        job.due_us = NEVER;
        job.error = job.error.take().or_else(|| job.remembered.take());
        if self.version.from(2, 0) {
            self.exits.push_back(number);
        } else {
            self.job_exit(number);
        }
    }

    pub(super) fn job_exit(&mut self, number: usize) {
        let Some(job) = self.jobs.get_mut(&number) else { return };
        if job.is_over() {
            return;
        }
        if job.cancelled || job.error.is_some() {
            return self.abort_group(number);
        }
        self.status(number, Status::Waiting);
        let members = self.members(number);
        if members.iter().any(|member| self.jobs[member].status != Status::Waiting) {
            return;
        }
        for member in &members {
            self.status(*member, Status::Pending);
            let job = &self.jobs[member];
            if !job.auto_finalize && job.is_block() {
                let data = json!({"type": job.work.name(), "id": job.id});
                self.emit("BLOCK_JOB_PENDING", &data);
            }
        }
        if members.iter().all(|member| self.jobs[member].auto_finalize) {
            self.finalize_group(number);
        }
    }

    pub(super) fn finalize_group(&mut self, number: usize) {
        let members = self.members(number);
        for member in &members {
            let Some(job) = self.jobs.get_mut(member) else { continue };
            if let Some(Fault::Finalize(text)) = &job.fault {
                job.error = Some(text.clone());
                return self.abort_group(*member);
            }
        }
        for member in members {
            self.conclude(member);
        }
    }

    /// One failed or was cancelled: its peers are cancelled with it.
    pub(super) fn abort_group(&mut self, number: usize) {
        let members = self.members(number);
        for member in members.iter().filter(|member| **member != number) {
            if let Some(job) = self.jobs.get_mut(member) {
                job.cancelled = true;
            }
        }
        self.abort(number);
        if self.version.from(8, 0) && self.chance.one_in(self.odds.shuffle) {
            self.let_others_end(number);
        }
        for member in &members {
            let lives = self.jobs.get(member).is_some_and(|job| !job.is_settled());
            if self.version.from(8, 0) && lives {
                self.abort(*member);
            }
        }
        for member in members {
            self.abort(member);
            self.conclude(member);
        }
    }

    /// The drain before an end lets other jobs go on, and tells their end within this one's.
    fn let_others_end(&mut self, number: usize) {
        let Some(group) = self.jobs.get(&number).map(|job| job.group) else { return };
        let runs = |job: &&super::job::Job| job.group != group && job.due_us != NEVER;
        let others: Vec<usize> = self.jobs.values().filter(runs).map(|job| job.number).collect();
        for other in others {
            self.work(other);
        }
        self.end_exits();
    }

    fn abort(&mut self, number: usize) {
        self.wake(number);
        self.status(number, Status::Aborting);
    }

    /// From a pause to what it was before.
    pub(super) fn wake(&mut self, number: usize) {
        let Some(job) = self.jobs.get(&number) else { return };
        match job.status {
            Status::Paused => self.status(number, Status::Running),
            Status::Standby => self.status(number, Status::Ready),
            _ => {}
        }
    }

    /// Tells its end, once.
    fn conclude(&mut self, number: usize) {
        let Some(job) = self.jobs.get_mut(&number) else { return };
        job.due_us = NEVER;
        let outcome = match &job.error {
            _ if job.cancelled => Outcome::Cancelled,
            Some(error) => Outcome::Failed(error.clone()),
            None => Outcome::Completed,
        };
        if job.cancelled {
            job.error = Some("Operation canceled".into());
        }
        let (mut data, block) = (job.data(), job.is_block());
        if let Outcome::Failed(text) = &outcome {
            data["error"] = json!(text);
        }
        let completes = outcome == Outcome::Completed;
        let hazards = [
            (job.is_mirror() && completes && !job.should_complete, counts::ENDED_NO_PIVOT),
            (job.is_mirror() && completes && job.should_complete, counts::ENDED_PIVOT),
            (job.soft_cancelled && completes, counts::CANCEL_COMPLETES),
            (matches!(outcome, Outcome::Failed(_)) && job.offset == job.len, counts::FULL_ERROR),
            (!block, counts::NO_EVENTS),
        ];
        let auto_dismiss = job.auto_dismiss;
        let ran = self.truths[number].ran;
        let pivots = job.should_complete && outcome == Outcome::Completed;
        let (mut event, mut sent_to) = (None, Vec::new());
        if block && ran {
            let name = if outcome == Outcome::Cancelled { "CANCELLED" } else { "COMPLETED" };
            let (line, sent) = self.emit(&format!("BLOCK_JOB_{name}"), &data);
            event = Some(line);
            if sent.is_none() {
                self.counts.add(counts::UNHEARD);
            }
            sent_to.extend(sent);
        }
        let truth = &mut self.truths[number];
        truth.pivoted = pivots;
        if ran {
            let timestamp_us = self.last_us;
            truth.ended = Some(Ending { outcome, timestamp_us, event, sent_to });
            for (_, hazard) in hazards.iter().filter(|(occurs, _)| *occurs) {
                self.counts.add(hazard);
            }
        }
        self.status(number, Status::Concluded);
        if auto_dismiss || !ran {
            self.dismiss(number, Dismissed::Auto);
        }
    }

    pub(super) fn dismiss(&mut self, number: usize, by: Dismissed) {
        self.status(number, Status::Null);
        self.jobs.remove(&number);
        let truth = &mut self.truths[number];
        truth.dismissed = Some(by);
        truth.gone_us = Some(self.now_us);
    }

    /// Those who end together with it and have not yet, the youngest first.
    fn members(&self, number: usize) -> Vec<usize> {
        let Some(group) = self.jobs.get(&number).map(|job| job.group) else { return Vec::new() };
        let alike = |job: &super::job::Job| job.group == group && !job.is_over();
        self.jobs.iter().rev().filter(|(_, job)| alike(job)).map(|(member, _)| *member).collect()
    }

    /// A drain of all that runs.
    pub(super) fn blip(&mut self, times: u32) {
        let running: Vec<(usize, Status)> = (self.jobs.iter())
            .filter(|(_, job)| matches!(job.status, Status::Running | Status::Ready))
            .map(|(number, job)| (*number, job.status))
            .collect();
        if !running.is_empty() && self.version.has_statuses() {
            self.counts.add(counts::BLIP);
        }
        for _ in 0..times {
            for (number, status) in &running {
                let paused =
                    if *status == Status::Ready { Status::Standby } else { Status::Paused };
                self.status(*number, paused);
            }
            for (number, status) in &running {
                self.status(*number, *status);
            }
        }
    }
}
