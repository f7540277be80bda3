//! A QEMU that is stopped or hangs.

use std::time::Duration;

use crate::world::{World, settings};

#[test]
fn a_qemu_that_answers_again_is_told_to_and_asked_again_later() {
    let mut with = settings();
    with.keepalive = Some((Duration::from_secs(10), Duration::from_secs(5)));
    let mut world = World::connected_with("7.2", with);
    world.later(10);
    world.replies("{}");
    assert_eq!(world.story(), ["send query-version"]);
    world.later(10);
    world.later(5);
    assert_eq!(world.story(), ["send query-version", "stands Unresponsive", "tell UNRESPONSIVE -"]);
    world.replies("{}");
    assert_eq!(world.story(), ["stands Connected", "tell RESPONSIVE -"]);
    world.later(10);
    assert_eq!(world.story(), ["send query-version"]);
}

#[test]
fn without_it_an_idle_monitor_has_no_deadline() {
    let world = World::connected("7.2");
    assert_eq!(world.session.deadline(), None);
}
