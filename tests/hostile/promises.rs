//! The attacks of each kind, one after another. What goes for all of them is `Scene`'s: the jobs of a
//! well-behaved QEMU end truly meanwhile, memory has its bound, and no descriptor is left.

use crate::catalogue::KINDS;
use crate::one_at_a_time;
use crate::scene::Scene;

#[test]
fn text_that_is_badly_written_costs_itself() {
    keep("text");
}

#[test]
fn numbers_that_are_none_of_qemus_are_absent() {
    keep("numbers");
}

#[test]
fn members_that_are_not_what_they_should_be_are_absent() {
    keep("members");
}

#[test]
fn replies_that_nobody_waits_for_are_passed_over_and_others_are_read_as_they_are() {
    keep("replies");
}

#[test]
fn greeting_that_is_none_is_named_and_the_next_one_is_taken() {
    keep("greeting");
}

#[test]
fn silence_is_noticed_at_each_step_and_is_no_outcome() {
    keep("silence");
}

#[test]
fn closing_is_possible_anywhere_and_the_next_connection_is_used() {
    keep("closing");
}

#[test]
fn floods_have_bounds() {
    keep("floods");
}

#[test]
fn jobs_that_a_peer_lies_of_are_its_own_alone_and_each_ends_once() {
    keep("jobs");
}

#[test]
fn descriptors_that_nobody_asked_for_are_not_kept() {
    keep("descriptors");
}

fn keep(kind: &str) {
    let _turn = one_at_a_time();
    let (_, attacks) = KINDS.iter().find(|(name, _)| *name == kind).expect("it is a kind");
    let mut scene = Scene::new();
    scene.run_jobs();
    for attack in *attacks {
        scene.attack(attack);
    }
    scene.end();
}
