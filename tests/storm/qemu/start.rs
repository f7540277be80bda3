//! The commands that start jobs, alone and in transactions.

use serde_json::{Map, Value, json};

use super::{
    Qemu,
    command::{Refusal, generic},
    counts,
    job::{Fault, Job, NEVER, Plan, Policy, ROUND_US, Status, Work},
    truth::{Dismissed, Origin, Truth},
};

pub(super) type Arguments = Map<String, Value>;

impl Qemu {
    /// A command that starts one job.
    pub(super) fn start(
        &mut self,
        command: &str,
        arguments: &Arguments,
        origin: &Origin,
    ) -> Result<Value, Refusal> {
        self.groups += 1;
        let number = self.prepare(command, arguments, origin)?;
        self.run(number);
        self.run_on(number);
        Ok(json!({}))
    }

    pub(super) fn transaction(
        &mut self,
        arguments: &Arguments,
        origin: &Origin,
    ) -> Result<Value, Refusal> {
        let grouped = arguments.get("properties").map(|properties| &properties["completion-mode"])
            == Some(&json!("grouped"));
        let actions = arguments.get("actions").and_then(Value::as_array);
        let actions = actions.ok_or_else(|| generic("Parameter 'actions' is missing"))?;
        let mut started = Vec::new();
        self.groups += 1;
        for action in actions {
            if !grouped {
                self.groups += 1;
            }
            let name = action["type"].as_str().unwrap_or_default();
            let data = action["data"].as_object().cloned().unwrap_or_default();
            let made = match name {
                "drive-backup" | "blockdev-backup" => {
                    self.check(name, &data).and_then(|()| self.prepare(name, &data, origin))
                }
                "abort" => Err(generic("Transaction aborted using Abort action")),
                other => Err(generic(&format!("Parameter 'type' does not accept value '{other}'"))),
            };
            match made {
                Ok(number) => started.push(number),
                Err(refusal) => {
                    self.roll_back(&started, grouped);
                    return Err(refusal);
                }
            }
        }
        if self.version.from(8, 0) {
            started.reverse();
        }
        for number in &started {
            self.run(*number);
        }
        for number in started {
            self.run_on(number);
        }
        Ok(json!({}))
    }

    /// Jobs that were created and never run. Two of them in a group are too much for every QEMU:
    /// it waits for the second for ever.
    fn roll_back(&mut self, started: &[usize], grouped: bool) {
        for number in started.iter().rev() {
            self.counts.add(counts::ROLLED_BACK);
            self.status(*number, Status::Aborting);
            self.status(*number, Status::Concluded);
            self.dismiss(*number, Dismissed::Auto);
            if grouped && started.len() > 1 {
                return self.hang();
            }
        }
    }

    /// Creates the job, which then waits to be run.
    fn prepare(
        &mut self,
        command: &str,
        arguments: &Arguments,
        origin: &Origin,
    ) -> Result<usize, Refusal> {
        let text = |name: &str| arguments.get(name).and_then(Value::as_str);
        let flag = |name: &str| arguments.get(name).and_then(Value::as_bool).unwrap_or(true);
        let policy = |name: &str| match text(name) {
            Some("ignore") => Policy::Ignore,
            Some("stop") => Policy::Stop,
            Some("enospc" | "auto") => Policy::NoSpace,
            _ => Policy::Report,
        };
        let work = work(command, arguments);
        let block = !matches!(work, Work::Other(_));
        let nodes = if block { self.nodes_of(arguments)? } else { Vec::new() };
        let speed = arguments.get("speed").and_then(Value::as_i64).unwrap_or(0);
        if speed < 0 {
            let invalid = generic("Parameter 'speed' expects a non-negative value");
            return Err(invalid.ancient(self.version, "InvalidParameter"));
        }
        if text("base") == Some("nosuch") {
            return Err(generic("Can't find 'nosuch' in the backing chain")
                .ancient(self.version, "BaseNotFound"));
        }
        let id = self.id_of(arguments)?;
        let plan = self.plan_for(&id, work, arguments)?;
        if plan.fault == Some(Fault::Abort) {
            self.crash();
            return Err(generic("Aborted"));
        }
        // Such a mirror has nothing to copy at first.
        let nothing = work == Work::Mirror && text("sync") == Some("none");
        let stream = matches!(work, Work::Stream | Work::Commit | Work::ActiveCommit);
        let number = self.truths.len();
        let auto_dismiss = block && flag("auto-dismiss");
        let job = Job {
            number,
            id: id.clone(),
            work,
            status: Status::Created,
            len: if nothing {
                0
            } else if block {
                plan.len
            } else {
                1
            },
            offset: 0,
            speed,
            auto_finalize: flag("auto-finalize"),
            auto_dismiss,
            nodes,
            group: self.groups,
            read_policy: policy(if stream { "on-error" } else { "on-source-error" }),
            write_policy: policy(if stream { "on-error" } else { "on-target-error" }),
            fault: plan.fault,
            round_us: plan.round_us,
            io_status: "ok",
            user_paused: false,
            ready: false,
            should_complete: false,
            soft_cancelled: false,
            cancelled: false,
            error: None,
            remembered: None,
            slept: false,
            finished: false,
            due_us: NEVER,
            actively_synced: text("copy-mode") == Some("write-blocking"),
            endless: work == Work::Backup && text("sync") == Some("none"),
        };
        if self.truths.iter().any(|truth| truth.id == id) {
            self.counts.add(counts::ID_AGAIN);
        }
        self.truths.push(Truth {
            number,
            id,
            type_name: work.name(),
            block,
            auto_dismiss,
            starter: origin.clone(),
            ran: false,
            ended: None,
            pivoted: false,
            created_us: self.now_us,
            created: None,
            gone_us: None,
            dismissed: None,
        });
        self.jobs.insert(number, job);
        self.status(number, Status::Created);
        if let Some(Fault::Early(text)) = self.jobs[&number].fault.clone() {
            self.dismiss(number, Dismissed::Auto);
            return Err(generic(&text));
        }
        Ok(number)
    }

    /// The nodes that the job will hold, if none holds them now.
    fn nodes_of(&self, arguments: &Arguments) -> Result<Vec<String>, Refusal> {
        let mut nodes = Vec::new();
        for name in ["device", "target"] {
            let Some(node) = arguments.get(name).and_then(Value::as_str) else {
                if name == "device" {
                    return Err(generic("Parameter 'device' is missing")
                        .ancient(self.version, "MissingParameter"));
                }
                continue;
            };
            // A target may be a file that drive-mirror or drive-backup makes.
            if !self.nodes.contains_key(node) && name == "device" {
                let text = format!("Cannot find device='{node}' nor node-name='{node}'");
                return Err(generic(&text).ancient(self.version, "DeviceNotFound"));
            }
            if let Some(job) = self.holder(node) {
                let kind = job.work.name();
                let text =
                    format!("Node '{node}' is busy: block device is in use by block job: {kind}");
                return Err(generic(&text).ancient(self.version, "DeviceInUse"));
            }
            nodes.push(node.into());
        }
        Ok(nodes)
    }

    /// The job because of which a node is busy.
    pub(super) fn holder(&self, node: &str) -> Option<&Job> {
        self.jobs.values().find(|job| job.nodes.iter().any(|held| held == node))
    }

    fn id_of(&self, arguments: &Arguments) -> Result<String, Refusal> {
        let text = |name: &str| arguments.get(name).and_then(Value::as_str);
        let device = text("device").filter(|device| self.nodes.get(*device) == Some(&true));
        let id = text("job-id").or(device).unwrap_or_default();
        let begins = id.starts_with(|c: char| c.is_ascii_alphabetic());
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        // A device's name has passed its own test.
        if text("job-id").is_some() && !(begins && id.chars().all(legal)) || id.is_empty() {
            return Err(generic(&format!("Invalid job ID '{id}'")));
        }
        if self.jobs.values().any(|job| job.id == id) {
            return Err(generic(&format!("Job ID '{id}' already in use")));
        }
        Ok(id.into())
    }

    /// What it will meet: by its id, or its nodes; or by chance.
    fn plan_for(&mut self, id: &str, work: Work, arguments: &Arguments) -> Result<Plan, Refusal> {
        let text = |name: &str| arguments.get(name).and_then(Value::as_str);
        let names = ["device", "target", "base-node", "base", "top-node"].map(text);
        let backing = text("device").and_then(|device| self.backing.get(device));
        let names = [Some(id)].into_iter().chain(names).chain([backing.map(String::as_str)]);
        let plans: Vec<&Plan> = names.flatten().filter_map(|name| self.plans.get(name)).collect();
        let [first, ..] = *plans else { return Ok(self.draw_plan()) };
        let fault = plans.iter().find_map(|plan| plan.fault.clone());
        let mut plan = Plan { fault, ..(*first).clone() };
        let target = text("target").and_then(|target| self.plans.get(target));
        if target.is_some_and(|target| target.len < plan.len) {
            let sizes = "Source and target image have different sizes";
            if work == Work::Backup {
                return Err(generic(sizes));
            }
            let words = if self.version.from(6, 0) { sizes } else { "Invalid argument" };
            plan.fault = Some(Fault::Silent(words.into()));
        }
        Ok(plan)
    }

    fn draw_plan(&mut self) -> Plan {
        let mut plan = Plan { len: 1 << (18 + self.chance.below(6)), ..Plan::default() };
        if self.chance.one_in(self.odds.instant) {
            plan.len = 0;
        }
        if self.chance.one_in(self.odds.fault) {
            plan.fault = Some(match self.chance.below(7) {
                2 => Fault::Early("Permission conflict".into()),
                0 => Fault::Silent("Source and target image have different sizes".into()),
                1 => Fault::Finalize("Input/output error".into()),
                _ => Fault::Io {
                    at: i64::try_from(self.chance.below(2)).unwrap_or(0) * (plan.len / 2),
                    write: self.chance.one_in(2),
                    no_space: self.chance.one_in(2),
                    once: self.chance.one_in(2),
                },
            });
        }
        plan
    }

    /// Now, or some rounds later for a job in the middle of I/O.
    pub(super) fn soon_us(&mut self) -> u64 {
        let busy = self.chance.one_in(self.odds.busy);
        self.now_us + if busy { ROUND_US * (1 + self.chance.below(BUSY_ROUNDS_MAX)) } else { 0 }
    }
}

fn work(command: &str, arguments: &Arguments) -> Work {
    match command {
        "block-stream" => Work::Stream,
        "block-commit" => {
            let top = arguments.get("top-node").or_else(|| arguments.get("top"));
            let active = top.is_none() || top == arguments.get("device");
            if active { Work::ActiveCommit } else { Work::Commit }
        }
        "drive-mirror" | "blockdev-mirror" => Work::Mirror,
        "drive-backup" | "blockdev-backup" => Work::Backup,
        "snapshot-save" => Work::Other("snapshot-save"),
        "snapshot-load" => Work::Other("snapshot-load"),
        "snapshot-delete" => Work::Other("snapshot-delete"),
        _ => Work::Other("create"),
    }
}

const BUSY_ROUNDS_MAX: u64 = 4;
