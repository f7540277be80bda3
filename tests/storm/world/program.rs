//! What the program does with its handles: it watches, starts, asks, leaves and frees.

use blockjob::{
    model::Code,
    qmp::{control::Control, jobs::Watch},
};
use serde_json::json;

use super::{Ask, DISKS, Handle, Start, World};
use crate::oracle::{Verdict, is_unique};

impl World {
    pub(super) fn watch(&mut self, index: usize, id: &str, made: bool, exists: bool) -> u64 {
        self.ids += 1;
        let number = self.ids;
        let adopt = !made && !exists && is_unique(id) && self.chance.one_in(3);
        if !is_unique(id) {
            self.oracle.life.watched.insert((index, id.to_owned()));
        }
        if adopt {
            self.oracle.adopted.insert(id.to_owned());
            self.oracle.life.adopting.insert(number);
        }
        let watch = Watch {
            handle: number,
            id: id.to_owned(),
            exists,
            made,
            adopt,
            ended: self.delivery.latest_end(index, id),
        };
        self.tells(|| {
            format!("{index} handle {number} for {id} made={made} exists={exists} adopt={adopt}")
        });
        let id = id.to_owned();
        let (started, tried, ended) = (false, false, false);
        let handle = Handle { machine: index, number, id, started, tried, made, exists, ended };
        self.program.handles.push(handle);
        self.delivery.open_handle(number);
        self.library.watch(index, &watch, self.now_us);
        number
    }

    /// The program uses the library.
    pub(super) fn use_library(&mut self, index: usize) -> Verdict {
        if self.program.closed.contains(&index) {
            return Ok(());
        }
        match self.chance.below(10) {
            0..=2 => {
                self.ids += 1;
                let id = format!("own-{}-{}", self.lives, self.ids);
                let number = self.watch(index, &id, true, false);
                self.settle()?;
                if !self.chance.one_in(10) {
                    self.start_job(index, number, &id);
                }
            }
            3..=4 => {
                let own: Vec<Handle> = (self.program.handles.iter())
                    .filter(|it| it.machine == index && (it.made || it.tried) && !it.ended)
                    .cloned()
                    .collect();
                let Some(handle) = own.last() else { return Ok(()) };
                if !handle.started {
                    self.start_job(index, handle.number, &handle.id.clone());
                } else if self.chance.one_in(3) {
                    let force = self.chance.one_in(2);
                    self.ask_job(index, handle, Control::Cancel { force });
                } else {
                    self.ask_job(index, handle, Control::Complete);
                }
            }
            5 if !self.program.handles.is_empty() && self.chance.one_in(2) => {
                let at = self.chance.index(self.program.handles.len());
                let handle = self.program.handles.remove(at);
                self.tells(|| format!("{} frees handle {}", handle.machine, handle.number));
                self.delivery.close_handle(handle.number);
                self.library.unwatch(handle.machine, handle.number);
            }
            6 => {
                // Another's job, by its name, or one of the program's by a name that others use.
                let id = format!("drive{}", self.chance.below(DISKS));
                let number = self.watch(index, &id, false, false);
                if self.chance.one_in(2) {
                    self.settle()?;
                    self.start_job(index, number, &id);
                }
            }
            7 => {
                let starts = self.program.starts.iter_mut();
                let Some(start) = starts.filter(|it| it.machine == index && !it.left).last() else {
                    return Ok(());
                };
                start.left = true;
                let handle = start.handle;
                self.tells(|| format!("{index} leaves the start of {handle}"));
                self.tally.count("left a start");
                self.library.leave_start(index, handle, self.now_us);
                self.settle()?;
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn ask_job(&mut self, machine: usize, handle: &Handle, control: Control) {
        let id = handle.id.clone();
        self.tells(|| format!("{machine} asks {id} for {control:?}"));
        let ticket = self.library.ask_job(machine, handle.number, control);
        self.oracle.handle_asked(&id, control);
        self.program.asks.push(Ask { ticket, machine, id, control });
    }

    pub(super) fn start_job(&mut self, index: usize, number: u64, id: &str) {
        let disk = self.chance.below(DISKS);
        let device = format!("drive{disk}");
        let speed = [0, 0, 1 << 22][self.chance.index(3)];
        let (command, arguments) = match self.chance.below(7) {
            6 => ("block-commit", json!({"device": device, "speed": speed})),
            0..=1 => ("block-stream", json!({"device": device, "speed": speed})),
            2 => (
                "blockdev-backup",
                json!({"device": device, "target": format!("target{disk}"), "sync": "full"}),
            ),
            3 => (
                "blockdev-create",
                json!({"options": {"driver": "file", "filename": "x", "size": 1}}),
            ),
            _ => (
                "blockdev-mirror",
                json!({"device": device, "target": format!("target{disk}"), "sync": "full"}),
            ),
        };
        if is_unique(id) {
            self.oracle.ours.insert(id.to_owned());
        } else {
            self.oracle.shared.insert((index, id.to_owned()));
            if !self.machines[index].version.from(3, 0) {
                // Whether it was this one that ended before the answer nothing says there.
                self.oracle.assumed.insert((index, id.to_owned()));
            }
            self.tally.count("started by a name that others use");
        }
        if let Some(handle) = self.program.handles.iter_mut().find(|it| it.number == number) {
            if std::mem::replace(&mut handle.tried, true) {
                self.tally.count("started again");
            }
            handle.started = true;
        }
        self.tells(|| format!("{index} starts {id} by {command}"));
        let text = arguments.to_string();
        let ticket = self.library.start_job(index, number, command, &text, self.now_us);
        let (handle, id) = (number, id.to_owned());
        let start = Start { ticket, machine: index, handle, id, left: false };
        self.program.starts.push(start);
    }

    /// Those who waited for the answer to a start, and whose time ended just as it came, say that.
    /// False when there are none.
    pub(super) fn leave_starts(&mut self) -> bool {
        self.take_answers();
        let leaving = std::mem::take(&mut self.program.leaving);
        for (machine, handle) in &leaving {
            self.tells(|| format!("{machine} was refused as it left the start of {handle}"));
            self.tally.count("left a refused start");
            self.library.leave_start(*machine, *handle, self.now_us);
        }
        !leaving.is_empty()
    }

    /// A refusal leaves the handle free to try again, if the program is told. Where there was no
    /// answer, what QEMU has by the job's id is taken to be the job.
    pub(super) fn take_answers(&mut self) {
        for ask in std::mem::take(&mut self.program.asks) {
            match self.library.answer(ask.ticket) {
                None => self.program.asks.push(ask),
                Some(Ok(())) => self.oracle.handle_accepted(ask.machine, &ask.id, ask.control),
                Some(Err(_)) => {}
            }
        }
        for start in std::mem::take(&mut self.program.starts) {
            let Some(answer) = self.library.answer(start.ticket) else {
                self.program.starts.push(start);
                continue;
            };
            let Err(error) = answer else { continue };
            if error.code == Code::Reset {
                self.oracle.assumed.insert((start.machine, start.id));
                continue;
            }
            if start.left || self.chance.one_in(12) {
                // By an id that others use it may be there all the same.
                self.program.owed.extend(is_unique(&start.id).then_some(start.handle));
                if !start.left {
                    self.program.leaving.push((start.machine, start.handle));
                }
                continue;
            }
            let mut handles = self.program.handles.iter_mut();
            if let Some(handle) = handles.find(|it| it.number == start.handle) {
                handle.started = false;
            }
        }
    }
}
