//! The name that someone probably meant: of names that there are, the one that is most like the
//! one that was given.

/// Shorter beginnings are shared by too many names to mean one.
const BEGINNING: usize = 3;

/// The known name that is most like the wanted one, if one is like it at all: a third of the
/// letters may differ, or one name begins with the other. Case, and `-` for `_`, do not count.
pub fn nearest<'k>(wanted: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let near = known.into_iter().filter_map(|name| Some((difference(wanted, name)?, name)));
    near.min().map(|(_, name)| name)
}

/// How unlike two names are, the smaller the nearer; none: they have nothing to do with each other.
pub fn difference(wanted: &str, known: &str) -> Option<usize> {
    let (wanted, known) = (plain(wanted), plain(known));
    let letters = wanted.chars().count().max(known.chars().count());
    let (short, long) = if wanted.len() < known.len() { (&wanted, &known) } else { (&known, &wanted) };
    let differ = distance(&wanted, &known);
    let begins = short.chars().count() >= BEGINNING && long.starts_with(short.as_str());
    match differ <= letters.div_ceil(3) || begins {
        // Of two as unlike, the one that goes on as it was begun is nearer.
        true => Some(differ * 2 - usize::from(begins && differ > 0)),
        false => None,
    }
}

fn plain(name: &str) -> String {
    name.replace('-', "_").to_lowercase()
}

/// How many letters one word differs from another; two that changed places are one (the optimal
/// string alignment distance).
pub fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, sign) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, other) in b.iter().enumerate() {
            let at = |row: &[usize], place: usize| row.get(place).copied().unwrap_or(usize::MAX);
            let mut least = at(&above, j) + usize::from(sign != other);
            least = least.min(at(&above, j + 1) + 1).min(at(&row, j) + 1);
            let is_swapped = i > 0 && j > 0 && a.get(i - 1) == Some(other) && b.get(j - 1) == Some(sign);
            if is_swapped {
                least = least.min(at(&before, j - 1) + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_differ_by_letters() {
        for (a, b, letters) in
            [("jbos", "jobs", 1), ("", "ab", 2), ("kitten", "sitting", 3), ("ab", "", 2), ("ca", "abc", 3)]
        {
            assert_eq!((distance(a, b), distance(b, a)), (letters, letters), "{a} {b}");
        }
    }

    #[test]
    fn a_name_is_near_or_is_not() {
        let known = ["prod", "staging", "shop_2024", "lock_wait_timeout", "repositories"];
        for (wanted, meant) in [
            ("prdo", Some("prod")),
            ("PROD", Some("prod")),
            ("stagin", Some("staging")),
            ("shop", Some("shop_2024")),
            ("lock-wait-timeout", Some("lock_wait_timeout")),
            ("repository", Some("repositories")),
            ("zzz", None),
            ("", None),
            ("s", None),
        ] {
            assert_eq!(nearest(wanted, known), meant, "{wanted}");
        }
        assert_eq!(nearest("d", ["d"]), Some("d"));
    }
}
