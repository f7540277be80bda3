//! Hostile peers: each attack of the catalogue, to a monitor of the one listener's. What the library
//! promises for an attack must hold while everything else goes on.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::catalogue::{Attack, KINDS};
use crate::chance::Chance;
use crate::run::Run;

/// So many at a time.
pub const PEERS: usize = 2;

/// All attacks, in an order drawn by chance; and then again.
pub struct Deck {
    cards: Vec<(&'static str, &'static Attack)>,
    next: AtomicUsize,
}

impl Deck {
    pub fn shuffled(chance: &mut Chance) -> Self {
        let of_kind = |(kind, attacks): &(&'static str, &'static [Attack])| {
            let kind = *kind;
            attacks.iter().map(move |attack| (kind, attack))
        };
        let mut cards: Vec<_> = KINDS.iter().flat_map(of_kind).collect();
        for last in (1..cards.len()).rev() {
            let drawn = usize::try_from(chance.below(last as u64 + 1));
            cards.swap(last, drawn.expect("it is below their number"));
        }
        Self { cards, next: AtomicUsize::new(0) }
    }

    fn draw(&self) -> (&'static str, &'static Attack) {
        self.cards[self.next.fetch_add(1, Relaxed) % self.cards.len()]
    }
}

pub fn besiege(run: &Run, deck: &Deck) {
    let directory = tempfile::tempdir().expect("there is room for temporary files");
    for number in 0.. {
        if run.is_over() {
            break;
        }
        let (kind, attack) = deck.draw();
        attack.play(run.listener, &directory.path().join(format!("{number}.qmp")), || {});
        let mut figures = run.figures();
        *figures.attacks.entry((kind, attack.name)).or_default() += 1;
        figures.monitors += 1;
    }
}
