//! How often each hazard, outcome, origin and reason occurred: a storm that never blows proves
//! nothing.

use std::collections::BTreeMap;

use crate::qemu::counts;

#[derive(Debug, Default, Clone)]
pub struct Tally(BTreeMap<String, u64>);

impl Tally {
    pub fn count(&mut self, what: impl Into<String>) {
        self.count_many(what, 1);
    }

    pub fn count_many(&mut self, what: impl Into<String>, number: u64) {
        *self.0.entry(what.into()).or_default() += number;
    }

    pub fn add(&mut self, other: &Self) {
        for (what, number) in &other.0 {
            self.count_many(what, *number);
        }
    }

    /// What must occur and was seen less often than that in so many worlds.
    pub fn rare(&self, worlds: u64) -> Vec<String> {
        let least = worlds * LEAST / 10_000;
        let must = GROUPS.iter().flat_map(|(_, names)| *names);
        must.filter(|name| self.of(name) < least)
            .map(|name| format!("{name}: {} times, and should be {least}", self.of(name)))
            .collect()
    }

    pub fn print(&self, worlds: u64) {
        println!("Seen in {worlds} worlds:");
        for (group, names) in GROUPS {
            println!("  {group}");
            names.iter().for_each(|name| println!("{:>12}  {name}", self.of(name)));
        }
        println!("  also, as it comes");
        let must: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
        for (what, number) in self.0.iter().filter(|(what, _)| !must.contains(&what.as_str())) {
            println!("{number:>12}  {what}");
        }
    }

    pub fn starting_with<'a>(&'a self, what: &'a str) -> impl Iterator<Item = (&'a str, u64)> {
        let all = self.0.iter().map(|(name, count)| (name.as_str(), *count));
        all.filter(move |(name, _)| name.starts_with(what))
    }

    fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }
}

/// In 10,000 worlds each of these must occur so often.
const LEAST: u64 = 100;

const GROUPS: &[(&str, &[&str])] = &[
    ("hazards, at the fake QEMUs", counts::ALL),
    (
        "ends, as they were told",
        &[
            "outcome Succeeded",
            "outcome Failed",
            "outcome Cancelled",
            "outcome Unknown",
            "origin Live",
            "origin Recovered",
            "origin Inferred",
            "pivoted Yes",
            "pivoted No",
            "pivoted Unknown",
        ],
    ),
    (
        "reasons of LOST",
        &[
            "lost Gone",
            "lost Dismissed",
            "lost NotStarted",
            "lost Unheard",
            "lost QemuGone",
            "lost QemuRestarted",
            "lost NoConnection",
            "lost Closed",
        ],
    ),
    (
        "connections",
        &[
            "connected",
            "process Some(First)",
            "process Some(Same)",
            "process Some(Restarted)",
            "process Some(Unknown)",
            "unresponsive",
            "link Dial",
            "link Listen",
            "link Once",
        ],
    ),
    (
        "the program",
        &[
            "acknowledged",
            "acknowledged early",
            "journal asked",
            "journal position stored",
            "adopted",
            "left a start",
            "left a refused start",
            "handle bound to an end",
            "pulls",
            "weather: death",
            "weather: death in a callback",
            "weather: close",
        ],
    ),
    (
        "the weather",
        &[
            "weather: cut",
            "weather: crash",
            "weather: quit",
            "weather: boot",
            "weather: stop",
            "weather: truncated",
            "foreign command",
        ],
    ),
];
