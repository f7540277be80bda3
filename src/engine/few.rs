//! A set that has one member as a rule, which then needs no memory of its own.

#![forbid(unsafe_code)]

use std::{collections::BTreeSet, mem};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Few<T> {
    #[default]
    None,
    One(T),
    /// Of any number.
    More(BTreeSet<T>),
}

impl<T: Ord + Copy> Few<T> {
    pub fn insert(&mut self, member: T) {
        match self {
            Self::None => *self = Self::One(member),
            Self::One(one) if *one == member => {}
            Self::One(one) => *self = Self::More(BTreeSet::from([*one, member])),
            Self::More(more) => drop(more.insert(member)),
        }
    }

    /// True when it was there.
    pub fn remove(&mut self, member: T) -> bool {
        match self {
            Self::None => false,
            Self::One(one) => *one == member && mem::take(self) != Self::None,
            Self::More(more) => more.remove(&member),
        }
    }

    pub fn contains(&self, member: T) -> bool {
        self.iter().any(|one| one == member)
    }

    pub fn is_empty(&self) -> bool {
        match self {
            Self::None => true,
            Self::One(_) => false,
            Self::More(more) => more.is_empty(),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = T> {
        let (one, more) = match self {
            Self::None => (None, None),
            Self::One(one) => (Some(one), None),
            Self::More(more) => (None, Some(more)),
        };
        one.into_iter().chain(more.into_iter().flatten()).copied()
    }
}

impl<T: Ord + Copy> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(members: I) -> Self {
        let mut few = Self::None;
        members.into_iter().for_each(|member| few.insert(member));
        few
    }
}

impl<T: Ord + Copy> Extend<T> for Few<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, members: I) {
        members.into_iter().for_each(|member| self.insert(member));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_set_of_any_size() {
        let mut few: Few<i32> = [3, 1, 3, 2].into_iter().collect();
        assert!(few.contains(1) && !few.contains(4));
        assert_eq!(few.iter().collect::<Vec<_>>(), [1, 2, 3]);
        assert!(few.remove(2) && !few.remove(2) && few.remove(1) && few.remove(3));
        assert!(few.is_empty());
        let mut few = Few::One(5);
        few.insert(5);
        assert_eq!(few, Few::One(5));
        assert!(!few.remove(4) && few.remove(5) && few.is_empty() && !few.remove(5));
    }
}
