//! What was done, and how much of it was wrong.

use std::collections::BTreeMap;

use crate::judge::Judged;

#[derive(Default)]
pub struct Figures {
    pub judged: Judged,
    /// Jobs by what they were.
    pub jobs: BTreeMap<&'static str, usize>,
    pub cuts: usize,
    pub restarts: usize,
    pub hangs: usize,
    pub attacks: BTreeMap<&'static str, usize>,
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
        let Self { jobs, attacks, listeners, .. } = self;
        for (what, counts) in [("jobs", jobs), ("attacks", attacks)] {
            println!("{what}:");
            for (name, count) in counts {
                println!("{count:>10}  {name}");
            }
        }
        println!("listeners that came and went:");
        for (name, count) in listeners {
            println!("{count:>10}  {name}");
        }
        println!();
        let judged = &self.judged;
        for (name, count) in [
            ("jobs", judged.jobs()),
            ("of these told as QEMU said it", judged.equal),
            ("of these asked for after a cut", judged.recovered),
            ("lost with a QEMU that was killed", judged.lost_with_qemu),
            ("never started, and told so", judged.not_started),
            ("wrong outcomes", judged.wrong),
            ("duplicate outcomes", judged.duplicates),
            ("unknown outcomes", judged.unknown),
            ("cuts", self.cuts),
            ("attacks", self.attacks()),
            ("restarts of QEMUs", self.restarts),
            ("QEMUs that hung for a while", self.hangs),
            ("monitors made and freed", self.monitors),
            ("registrations made and removed", self.registrations),
            ("children", self.children),
            ("events told", self.events),
        ] {
            println!("{name:34} {count:>9}");
        }
    }

    pub fn assert_true(&self) {
        self.judged.assert_faultless();
        assert_eq!(self.ends_heard, self.ends_told, "whoever listens to all hears the same ends");
        let happened =
            [self.judged.jobs(), self.cuts, self.attacks(), self.restarts, self.children];
        assert!(!happened.contains(&0), "too little has happened: {}", self.line());
    }
}
