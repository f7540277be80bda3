//! A listener's sessions against a peer that says anything at any time, and a program that asks
//! for anything: `blockjob_fuzz::world` says what must be true all the same. The same script gives
//! the same story when the peer's words come byte by byte.
//!
//! The input is a script that people can read: a line of letters with what is set, then a line for
//! each thing that happens, its first letter says what; `step` has the list.

#![no_main]

use std::time::Duration;

use blockjob::model::{Link, Settings};
use blockjob_fuzz::{
    memory,
    world::{World, control},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: &[u8]| {
    let script = String::from_utf8_lossy(script);
    let before = memory::held();
    let (whole, peak) = memory::peak(|| play(&script, false));
    assert!(peak <= (1 << 20) + 256 * script.len(), "{peak} bytes for {}", script.len());
    assert_eq!(play(&script, true), whole, "byte by byte it is another story");
    let kept = memory::held().saturating_sub(before);
    assert!(kept <= 4096, "{kept} bytes are left of it");
});

fn play(script: &str, crumbles: bool) -> (u64, usize) {
    let mut lines = script.split('\n');
    let set = lines.next().unwrap_or_default();
    let machines = 1 + usize::from(set.contains('2'));
    let world = World::new(vec![settings(set); machines], set.contains('t'));
    let mut world = world.telling(crumbles);
    let mut m = 0;
    for line in lines {
        let Some(first) = line.chars().next() else { continue };
        let rest = &line[first.len_utf8()..];
        world.say(|| line.to_owned());
        match first {
            '1' => m = 0,
            '2' => m = machines - 1,
            _ => step(&mut world, m, first, rest),
        }
    }
    world.finish();
    world.story()
}

fn settings(set: &str) -> Settings {
    let has = |letter: char| set.contains(letter);
    let second = Duration::from_secs(1);
    let mut settings = Settings {
        line_limit: if has('s') { 300 } else { 1 << 16 },
        job_limit: if has('l') { 2 } else { 64 },
        journal: has('j'),
        owner: has('o').then(|| "own".into()),
        marker: has('m'),
        oob: has('b'),
        keepalive: has('k').then_some((second, second / 2)),
        progress: has('p').then_some(second / 4),
        ..Settings::default()
    };
    if has('r') {
        settings.reconnect = None;
    }
    settings.lost_after = if has('L') { None } else { Some(5 * second) };
    settings.link = match (has('n'), has('f')) {
        (true, _) => Link::Listen,
        (_, true) => Link::Once,
        _ => Link::Dial,
    };
    settings
}

fn step(world: &mut World, m: usize, first: char, rest: &str) {
    let mut letters = rest.chars();
    let mut digit = || letters.next().and_then(|c| c.to_digit(16)).unwrap_or(0);
    let (one, two) = (digit() as usize, digit());
    let handle = one as u64;
    // What stands behind one digit, and behind two.
    let behind = |digits: usize| rest.get(digits..).unwrap_or_default();
    let command = |text: &str| {
        let (name, arguments) = text.split_once(' ').unwrap_or((text, ""));
        (name.to_owned(), arguments.to_owned())
    };
    match first {
        // The peer: a connection, its end, its process; a line, a part of one, a newline and more.
        'c' => world.connect(m, rest.parse().ok()),
        'C' => world.refuse(m),
        'd' => world.hang_up(m),
        'D' => world.end_process(m),
        'h' => world.holder(m, (!rest.is_empty()).then_some(rest)),
        '<' => world.hear(m, format!("{rest}\r\n").as_bytes()),
        '~' => world.hear(m, rest.as_bytes()),
        'n' => world.hear(m, format!("\n{rest}").as_bytes()),
        // A reply to one of the commands, an error, all as a QEMU with these lists would.
        'r' => world.reply(m, one, &format!("\"return\": {}", behind(1))),
        'e' => {
            let error = format!("\"error\": {{\"class\": \"{}\", \"desc\": \"no\"}}", behind(1));
            world.reply(m, one, &error);
        }
        'a' => {
            let (jobs, blocks) = rest.split_once('\t').unwrap_or((rest, "[]"));
            world.answer(m, if jobs.is_empty() { "[]" } else { jobs }, blocks);
        }
        // The journal.
        'J' => world.write_journal(m, format!("{rest}\r\n").as_bytes()),
        'T' => world.truncate_journal(m, rest.parse().unwrap_or(0)),
        'F' => world.read_journal(m, false),
        'G' => world.read_journal(m, true),
        // Time, in milliseconds.
        '+' => match rest.parse::<u32>() {
            Ok(ms) => world.wait(u64::from(ms) * 1000),
            Err(_) => world.wait_until_due(),
        },
        // The program.
        's' => world.start(m),
        'w' => world.watch(m, handle, behind(2), u8::try_from(two).expect("a digit")),
        'u' => world.unwatch(m, handle),
        'j' => {
            let (name, arguments) = command(behind(1));
            world.start_job(m, handle, &name, &arguments);
        }
        'k' => world.ask_job(m, handle, control(two as usize, -1)),
        'A' => world.acknowledge(m, one, two & 1 == 1, two & 2 == 2),
        'l' => world.look(m, (!rest.is_empty()).then_some(handle)),
        'x' => {
            let (name, arguments) = command(behind(1));
            let arguments = (!arguments.is_empty()).then_some(&*arguments);
            world.execute(m, &name, arguments, u8::try_from(one).expect("a digit"));
        }
        'R' => world.want_raw(rest == "*", rest),
        'q' => world.close(m),
        _ => {}
    }
}
