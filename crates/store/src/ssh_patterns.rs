//! Patterns of OpenSSH's files (ssh_config(5), "PATTERNS").

/// Whether one of the patterns fits, and none that begins with `!` does. Capital letters are small
/// ones.
pub fn fits_one_of<'p>(patterns: impl Iterator<Item = &'p str>, text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let mut one_fits = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(pattern) if fits(&pattern.to_ascii_lowercase(), &text) => return false,
            Some(_) => {}
            None => one_fits |= fits(&pattern.to_ascii_lowercase(), &text),
        }
    }
    one_fits
}

/// Whether this one does: `*` stands for any characters, `?` for one.
pub fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    // Which beginnings of the pattern fit what was read.
    let mut fits: Vec<bool> = vec![false; pattern.len() + 1];
    let stars = pattern.iter().take_while(|c| **c == '*').count();
    fits.iter_mut().take(stars + 1).for_each(|fit| *fit = true);
    for read in text {
        let mut next = vec![false; pattern.len() + 1];
        for (at, wanted) in pattern.iter().enumerate() {
            let before = fits.get(at).copied().unwrap_or(false);
            let same = *wanted == '*' && fits.get(at + 1).copied().unwrap_or(false);
            // A star also stands for nothing.
            let empty = *wanted == '*' && next.get(at).copied().unwrap_or(false);
            if let Some(fit) = next.get_mut(at + 1) {
                *fit = before && (matches!(wanted, '*' | '?') || *wanted == read) || same || empty;
            }
        }
        fits = next;
    }
    fits.last().copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `*` and `?` mean, in the plainest words.
    fn fits_plainly(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, _) => text.is_empty(),
            (Some(('*', rest)), None) => fits_plainly(rest, text),
            (Some(('*', rest)), Some((_, after))) => fits_plainly(rest, text) || fits_plainly(pattern, after),
            (Some((wanted, rest)), Some((found, after))) => {
                (*wanted == '?' || wanted == found) && fits_plainly(rest, after)
            }
            (Some(_), None) => false,
        }
    }

    proptest::proptest! {
        #[test]
        fn patterns_fit_as_they_say(pattern in "[ab*?]{0,7}", text in "[ab]{0,7}") {
            let chars = |text: &str| text.chars().collect::<Vec<char>>();
            proptest::prop_assert_eq!(fits(&pattern, &text), fits_plainly(&chars(&pattern), &chars(&text)));
        }
    }
}
