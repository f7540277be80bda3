//! The storm is over: everything comes to rest, and nothing may be missing.

use serde_json::json;

use super::{CALM_MAX, Handle, REST_US, World};
use crate::oracle::Verdict;

impl World {
    /// The storm is over: everything comes to rest, and nothing may be missing.
    pub(super) fn calm(&mut self) -> Verdict {
        self.come_to_rest()?;
        self.check_machines()?;
        self.delivery.check_rest(&self.program.closed)?;
        self.check_answered()
    }

    pub(super) fn come_to_rest(&mut self) -> Verdict {
        self.happens("calm", || "the storm is over".into());
        for index in 0..self.machines.len() {
            self.machines[index].qemu().cont();
            if self.machines[index].now().is_hung() {
                self.machines[index].qemu().crash();
            }
            let dead = !self.machines[index].now().is_alive();
            if dead && !self.chance.one_in(3) {
                self.boot(index);
            }
        }
        // Somebody who wants all that nobody has taken.
        self.delivery.add(None, false);
        let (mut quiet, mut resting) = (0, 0);
        let rest_us = self.now_us + REST_US;
        for _ in 0..CALM_MAX {
            self.now_us += 1000;
            let busy = self.let_all_happen()?;
            quiet = if busy { 0 } else { quiet + 1 };
            let rests = self.now_us > rest_us && !self.release_jobs();
            resting = if rests { resting + 1 } else { 0 };
            if resting > 20 {
                break;
            }
            if quiet > 2 {
                self.release_jobs();
            }
            if quiet > 0 {
                let due = [self.library.deadline_us(), self.next_due()].into_iter().flatten().min();
                self.now_us = self.now_us.max(due.unwrap_or(0));
                self.library.timeouts(self.now_us);
                self.settle()?;
            }
        }
        Ok(())
    }

    pub(super) fn let_all_happen(&mut self) -> Result<bool, String> {
        let mut busy = false;
        for index in 0..self.machines.len() {
            for _ in 0..20 {
                let steps = self.machines[index].qemu().step(self.now_us);
                self.oracle.scan(index, &self.machines[index]);
                self.oracle.check_dismissals(index, &self.machines[index])?;
                if !steps {
                    break;
                }
                busy = true;
            }
            busy |= self.let_connect(index);
            busy |= self.machines[index].forward(&mut self.chance, true);
            while self.read(index, true)? {
                busy = true;
            }
            let gone = !self.machines[index].now().is_alive() && self.machines[index].has_identity;
            if gone && !self.machines[index].end_told {
                self.tell_process_end(index);
            }
        }
        while !self.program.reading.is_empty() {
            busy = true;
            self.read_journal()?;
        }
        busy |= self.take_all()?;
        Ok(busy)
    }

    /// The program takes all that there is for it. False when there was nothing.
    fn take_all(&mut self) -> Result<bool, String> {
        let mut busy = false;
        self.settle()?;
        while self.delivery.deliver(false)?.is_some() {
            busy = true;
            self.settle()?;
        }
        let ended: Vec<Handle> =
            self.program.handles.iter().filter(|it| it.ended).cloned().collect();
        self.program.handles.retain(|it| !it.ended);
        for handle in ended {
            busy = true;
            if self.delivery.wait(handle.number)?.is_none() {
                return Err(format!("a wait on handle {} gave nothing", handle.number));
            }
            self.delivery.close_handle(handle.number);
            self.library.unwatch(handle.machine, handle.number);
        }
        while self.delivery.release(&mut self.chance) {}
        self.settle()?;
        Ok(busy)
    }

    /// Ends the jobs that wait for somebody. False when none is left.
    fn release_jobs(&mut self) -> bool {
        let (mut found, now_us) = (false, self.now_us);
        for machine in &mut self.machines {
            let living: Vec<String> = (machine.now().jobs().iter())
                .filter(|truth| truth.dismissed.is_none() && truth.ended.is_none())
                .map(|truth| truth.id.clone())
                .collect();
            for id in living {
                found = true;
                let cancel = json!({"execute": "block-job-cancel",
                                    "arguments": {"device": id, "force": true}});
                machine.qemu().foreign(now_us, &cancel);
                let cancel = json!({"execute": "job-cancel", "arguments": {"id": id}});
                machine.qemu().foreign(now_us, &cancel);
            }
        }
        found
    }

    fn next_due(&self) -> Option<u64> {
        self.machines.iter().filter_map(|machine| machine.now().next_due_us()).min()
    }

    pub(super) fn check_machines(&mut self) -> Verdict {
        for index in 0..self.machines.len() {
            let over = self.program.over.contains(&index);
            let closed = self.program.closed.contains(&index) || over;
            let alive = self.machines[index].now().is_alive();
            // Nobody says that it is gone, and the program waits for as long as it takes.
            let known = self.machines[index].has_identity && self.program.met.contains(&index);
            if !alive && !known && self.program.is_patient && !closed {
                continue;
            }
            if alive && !closed && !self.program.connected[index] {
                return Err(format!("machine {index} runs and is not connected"));
            }
            self.oracle.check_rest(index, &self.machines[index], closed)?;
            for handle in self.program.handles.iter().filter(|it| it.machine == index) {
                // What nobody has asked for yet may come to be in the next process.
                let may_come = self.program.is_patient && !handle.started && !handle.exists;
                // Its start was refused, and only its end can tell that.
                let owed = self.program.owed.contains(&handle.number);
                if !handle.ended && (closed || !alive && !may_come || owed) {
                    return Err(format!("handle {} for {} has no end", handle.number, handle.id));
                }
            }
        }
        Ok(())
    }

    pub(super) fn check_answered(&self) -> Verdict {
        let unanswered = self.library.unanswered();
        if unanswered.is_empty() { Ok(()) } else { Err(format!("never answered: {unanswered:?}")) }
    }
}
