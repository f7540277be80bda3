//! The fake QEMU against the real ones: fed what was sent to a real QEMU, at the same places, it
//! says the same things in the same order.
//!
//! Compared are, connection by connection, the greeting, the events (name, job, status, whether
//! there is an error) and the replies (command, class of error). Numbers, texts and times are not,
//! nor how often a drain made a job pause for a moment.

use std::{collections::BTreeSet, fs};

mod listener;
mod player;
mod recording;
mod scene;

use player::Player;
use recording::{Recording, Said, folder};

/// Where connections were made to several monitors of a process: those of each. The fake has one,
/// so the scenario is played once for each, and what came in on the others is foreign.
const MONITORS: &[(&str, &[&[i64]])] = &[
    ("two-monitors", &[&[0], &[1]]),
    ("no-caps-no-events", &[&[0], &[1]]),
    ("m-logfile-journal", &[&[0], &[1]]),
    ("m-nolisten-chardev", &[&[0], &[1, 2]]),
    ("m-unread", &[&[0], &[1]]),
    ("m-quit-unread", &[&[0], &[1]]),
    ("m-logfile-slow-reader", &[&[0], &[1]]),
    ("m-halfclose-stale", &[&[0, 2], &[1]]),
    ("m-leftover", &[&[0, 2], &[1]]),
    // The second is no monitor: it was to be made one, and QEMU refused.
    ("m-dynamic-monitor", &[&[0]]),
];

/// What was done and stands in no line of a transcript.
enum Unseen {
    /// This client asked for more than its socket holds, and did not read.
    Asked { client: i64, id: &'static str, times: usize },
    /// A job was started from another monitor as the client connected.
    Started,
}

const UNSEEN: &[(&str, Unseen)] = &[
    ("m-unread", Unseen::Asked { client: 0, id: "A", times: 3 }),
    ("m-logfile-slow-reader", Unseen::Asked { client: 1, id: "A", times: 3 }),
    ("m-halfclose-stale", Unseen::Asked { client: 0, id: "A", times: 3 }),
    ("m-quit-unread", Unseen::Asked { client: 1, id: "S", times: 3 }),
    ("m-leftover", Unseen::Asked { client: 0, id: "A", times: 25 }),
    ("m-event-before-greeting", Unseen::Started),
];

#[test]
fn the_fake_says_what_real_qemus_said_in_the_same_order() {
    let files = fs::read_dir(folder()).expect("the transcripts");
    let names: BTreeSet<String> = files
        .map(|file| file.expect("a file").file_name().into_string().expect("UTF-8"))
        .filter(|name| name != "expected.json")
        .collect();
    let (mut settled, mut differing) = (0, BTreeSet::new());
    for name in &names {
        let recording = Recording::read(name);
        let mut raced = false;
        for monitor in recording.monitors() {
            let expected = recording.said(&monitor, recording.lines.len());
            let (said, by_race) = play(&recording, &monitor);
            raced |= by_race;
            if said != expected {
                println!("{name}\n  QEMU {expected:?}\n  fake {said:?}");
                differing.insert(name);
            }
        }
        settled += usize::from(raced);
    }
    println!("{} transcripts, {settled} of them settled by a race", names.len());
    assert_eq!(names.len(), 593, "transcripts");
    assert_eq!(differing, BTreeSet::new(), "see above");
}

/// What the fake says, and whether races had to be settled. Chance is drawn anew until they are
/// settled as they were in the recording: for all of it, or else stage by stage.
fn play(recording: &Recording, monitor: &[i64]) -> (Said, bool) {
    let whole = recording.lines.len();
    let expected = recording.said(monitor, whole);
    let mut said = Said::new();
    for (stages, seeds) in [(vec![whole], FEW_SEEDS), (recording.stages(), SEEDS)] {
        let mut player = Player::new(recording, monitor);
        let (mut begin, mut races) = (0, false);
        for end in stages {
            let lines = &recording.lines[begin..end];
            let expected = recording.said(monitor, end);
            let fits = |seed: &u64| player.drawn(*seed, lines, end == whole).said() == expected;
            let seed = (0..=seeds).find(fits).unwrap_or(0);
            player = player.drawn(seed, lines, end == whole);
            races |= seed > 0;
            begin = end;
        }
        said = player.said();
        if said == expected {
            return (said, races);
        }
    }
    (said, true)
}

/// Ways to settle the races of a stage that are tried.
const SEEDS: u64 = 2048;
const FEW_SEEDS: u64 = 64;
