//! How often each hazard, outcome, origin and reason occurred: a storm that never blows proves
//! nothing.

use std::collections::BTreeMap;

#[derive(Debug, Default, Clone)]
pub struct Tally(BTreeMap<String, u64>);

impl Tally {
    pub fn count(&mut self, what: impl Into<String>) {
        *self.0.entry(what.into()).or_default() += 1;
    }

    pub fn add(&mut self, other: &Self) {
        for (what, number) in &other.0 {
            *self.0.entry(what.clone()).or_default() += number;
        }
    }

    pub fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }

    pub fn print(&self) {
        for (what, number) in &self.0 {
            println!("{number:>12}  {what}");
        }
    }
}
