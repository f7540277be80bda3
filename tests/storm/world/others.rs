//! What other clients of the same QEMU do meanwhile.

use serde_json::json;

use super::{World, short};
use crate::machine::DISKS;

impl World {
    /// Another client of the same QEMU does something.
    #[allow(clippy::too_many_lines, reason = "a list of what others do")]
    pub(super) fn act_as_another(&mut self, index: usize) {
        let chance = &mut self.chance;
        let same_id = self.weather.same_id;
        let disk = if same_id { 0 } else { chance.below(DISKS) };
        let target = format!("target{disk}");
        let mut arguments = json!({"device": format!("drive{disk}")});
        let jobs: Vec<(String, bool)> = (self.machines[index].now().jobs().iter())
            .filter(|truth| truth.dismissed.is_none())
            .map(|truth| (truth.id.clone(), truth.ended.is_some()))
            .collect();
        let command = if jobs.is_empty() || chance.one_in(2) {
            if !same_id && !chance.one_in(3) {
                self.ids += 1;
                arguments["job-id"] = json!(format!("f-{}", self.ids));
            }
            if self.machines[index].version.from(3, 1) {
                if chance.one_in(3) {
                    arguments["auto-dismiss"] = json!(false);
                }
                if chance.one_in(5) {
                    arguments["auto-finalize"] = json!(false);
                }
            }
            match chance.below(7) {
                6 => "block-commit",
                0 => {
                    arguments["target"] = json!(target);
                    arguments["sync"] = json!("full");
                    "blockdev-mirror"
                }
                1 => {
                    arguments["target"] = json!(target);
                    arguments["sync"] = json!("full");
                    "blockdev-backup"
                }
                2 if self.machines[index].version.from(3, 0) => {
                    self.ids += 1;
                    arguments = json!({"job-id": format!("f-{}", self.ids), "options": {}});
                    "blockdev-create"
                }
                3 if chance.one_in(3) => {
                    self.ids += 2;
                    let action = |number: u64, disk: u64| {
                        json!({"type": "blockdev-backup", "data":
                        {"device": format!("drive{disk}"), "target": format!("target{disk}"),
                         "sync": "full", "job-id": format!("f-{number}")}})
                    };
                    let mut actions = vec![action(self.ids, disk)];
                    let grouped = chance.one_in(2);
                    if chance.one_in(2) {
                        actions.push(action(self.ids - 1, (disk + 1) % DISKS));
                    }
                    if chance.one_in(2) {
                        actions.push(json!({"type": "abort", "data": {}}));
                    }
                    arguments = json!({"actions": actions});
                    if grouped {
                        arguments["properties"] = json!({"completion-mode": "grouped"});
                    }
                    "transaction"
                }
                _ => "block-stream",
            }
        } else {
            let (id, ended) = &jobs[chance.index(jobs.len())];
            let ours = self.oracle.ours.contains(id);
            let gently = ours && !chance.one_in(2);
            let new = self.machines[index].version.from(3, 0);
            let verb = match chance.below(7) {
                _ if *ended && gently => return,
                _ if *ended => "dismiss",
                0 => "cancel",
                1 => "force",
                2 => "pause",
                3 => "resume",
                4 => "finalize",
                _ => "complete",
            };
            if verb == "complete" {
                self.oracle.foreign_completed.insert(id.clone());
            }
            arguments = json!({"device": id});
            match verb {
                "force" => {
                    arguments["force"] = json!(true);
                    "block-job-cancel"
                }
                "cancel" => "block-job-cancel",
                "pause" => "block-job-pause",
                "resume" => "block-job-resume",
                "complete" => "block-job-complete",
                _ if !new => return,
                other => {
                    arguments = json!({"id": id});
                    if other == "dismiss" { "job-dismiss" } else { "job-finalize" }
                }
            }
        };
        // The program may have been told that it comes.
        let is_open = !self.program.closed.contains(&index);
        let id = arguments["job-id"].as_str().filter(|_| is_open && self.chance.one_in(6));
        if let Some(id) = id {
            self.watch(index, id, false, false);
        }
        let said = json!({"execute": command, "arguments": arguments});
        let reply = self.machines[index].qemu().foreign(self.now_us, &said);
        self.tells(|| format!("{index} another: {command} {arguments} -> {}", short(&reply)));
        self.tally.count("foreign command");
    }

    /// Another client dismisses our jobs that have concluded.
    pub(super) fn rob(&mut self, index: usize) {
        let ours: Vec<String> = (self.machines[index].now().jobs().iter())
            .filter(|truth| truth.dismissed.is_none() && truth.ended.is_some())
            .map(|truth| truth.id.clone())
            .filter(|id| self.oracle.ours.contains(id))
            .collect();
        for id in ours {
            let dismiss = json!({"execute": "job-dismiss", "arguments": {"id": id}});
            self.machines[index].qemu().foreign(self.now_us, &dismiss);
            self.tells(|| format!("{index} another: job-dismiss {id}"));
        }
    }
}
