//! What was done, and how much of it was wrong.

use std::collections::BTreeMap;

use crate::catalogue::KINDS;
use crate::judge::Judged;

#[derive(Default)]
pub struct Figures {
    pub judged: Judged,
    /// Jobs by what they were.
    pub jobs: BTreeMap<&'static str, usize>,
    pub cuts: usize,
    pub restarts: usize,
    /// QEMUs that ended by themselves.
    pub crashes: usize,
    pub hangs: usize,
    /// Attacks by their kinds and names.
    pub attacks: BTreeMap<(&'static str, &'static str), usize>,
    /// Listeners that came and went, by their delivery.
    pub listeners: BTreeMap<String, usize>,
    pub monitors: usize,
    pub registrations: usize,
    pub children: usize,
    /// By the registration for everything: all, and the ends of jobs in the rooms.
    pub events: usize,
    pub ends_heard: usize,
    /// By the rooms' own.
    pub ends_told: usize,
}

impl Figures {
    pub fn attacks(&self) -> usize {
        self.attacks.values().sum()
    }

    pub fn line(&self) -> String {
        let Self { judged, cuts, restarts, .. } = self;
        format!(
            "{} jobs, {cuts} cuts, {} attacks, {restarts} restarts, {} wrong",
            judged.jobs(),
            self.attacks(),
            judged.faults()
        )
    }

    pub fn print(&self) {
        println!("jobs:");
        self.jobs.iter().for_each(|(name, count)| println!("{count:>10}  {name}"));
        println!("attacks, and how many of them were different:");
        for (kind, attacks) in &KINDS {
            let of_kind = self.attacks.iter().filter(|((of, _), _)| of == kind);
            let (different, all) = (of_kind.clone().count(), of_kind.map(|(_, count)| count));
            println!("{:>10}  {kind}, {different} of {}", all.sum::<usize>(), attacks.len());
        }
        println!("listeners that came and went:");
        self.listeners.iter().for_each(|(name, count)| println!("{count:>10}  {name}"));
        println!();
        let judged = &self.judged;
        for (name, count) in [
            ("jobs", judged.jobs()),
            ("of these told as QEMU said it", judged.equal),
            ("of these asked for after a cut", judged.recovered),
            ("lost with a QEMU that was killed", judged.lost_with_qemu),
            ("never started, and told so", judged.not_started),
            ("handles made anew after UNHEARD", judged.unheard),
            ("wrong outcomes", judged.wrong),
            ("duplicate outcomes", judged.duplicates),
            ("unknown outcomes", judged.unknown),
            ("cuts", self.cuts),
            ("attacks", self.attacks()),
            ("of these different", self.attacks.len()),
            ("restarts of QEMUs", self.restarts),
            ("QEMUs that ended by themselves", self.crashes),
            ("QEMUs that hung for a while", self.hangs),
            ("monitors made and freed", self.monitors),
            ("registrations made and removed", self.registrations),
            ("children", self.children),
            ("events told", self.events),
        ] {
            println!("{name:34} {count:>9}");
        }
        let never = self.never_made();
        if !never.is_empty() {
            println!("attacks that were never made: {}", never.join(", "));
        }
    }

    /// The attacks for which there was no time.
    fn never_made(&self) -> Vec<&'static str> {
        let all = KINDS.iter().flat_map(|(_, attacks)| attacks.iter().map(|attack| attack.name));
        all.filter(|name| !self.attacks.keys().any(|(_, made)| made == name)).collect()
    }

    pub fn assert_true(&self) {
        self.judged.assert_faultless();
        assert_eq!(self.ends_heard, self.ends_told, "whoever listens to all hears the same ends");
        let happened =
            [self.judged.jobs(), self.cuts, self.attacks(), self.restarts, self.children];
        assert!(!happened.contains(&0), "too little has happened: {}", self.line());
    }
}
