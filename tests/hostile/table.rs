//! The table of docs/robustness.md and the attacks are the same.

use std::collections::BTreeMap;

use crate::catalogue::KINDS;
use crate::journal;

#[test]
fn the_table_has_each_attack_with_its_promise_and_its_test() {
    let document = include_str!("../../docs/robustness.md");
    let (_, section) = document.split_once("\n## From the peer\n").expect("there is a section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut rows = BTreeMap::new();
    for row in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [name, promise, test] = cells[..] else { panic!("three cells are wanted: {row}") };
        assert!(!promise.is_empty(), "a promise is wanted: {row}");
        let before = rows.insert(name.trim_matches('`'), test.trim_matches('`'));
        assert_eq!(before, None, "it stands there twice: {row}");
    }

    let mut here = BTreeMap::new();
    let attacks = KINDS
        .iter()
        .flat_map(|(kind, attacks)| attacks.iter().map(move |attack| (attack.name, *kind)));
    for (name, kind) in attacks.chain(journal::ATTACKS.iter().map(|it| (it.name, "journal"))) {
        assert_eq!(here.insert(name, kind), None, "two attacks are called {name}");
    }

    for (name, kind) in &here {
        let test = rows.get(name).unwrap_or_else(|| panic!("docs/robustness.md lacks {name}"));
        assert_eq!(*test, format!("hostile {kind}"), "of {name}");
    }
    let gone: Vec<_> = rows.keys().filter(|name| !here.contains_key(*name)).collect();
    assert!(gone.is_empty(), "docs/robustness.md has attacks that nobody makes: {gone:?}");
    assert!(here.len() >= 60, "there are {}", here.len());
}
