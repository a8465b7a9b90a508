//! `like`: `%` is any text, `_` any character, `\` takes away a sign's meaning.

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Like(Vec<Piece>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Just(char),
    One,
    Any,
}

impl Like {
    /// Reads a pattern; None: it ends with a `\` that takes nothing.
    pub fn read(pattern: &str) -> Option<Like> {
        let mut pieces = Vec::new();
        let mut signs = pattern.chars();
        while let Some(sign) = signs.next() {
            pieces.push(match sign {
                '\\' => Piece::Just(signs.next()?),
                '_' => Piece::One,
                '%' => Piece::Any,
                sign => Piece::Just(sign),
            });
        }
        Some(Like(pieces))
    }

    /// Whether the whole text fits. It takes at most as many steps as text and pattern have
    /// characters, multiplied: after a sign that does not fit, the last `%` takes one character
    /// more.
    pub fn fits(&self, text: &str) -> bool {
        let mut signs = text.chars();
        let mut at = 0;
        let mut last: Option<(usize, std::str::Chars<'_>)> = None;
        loop {
            let piece = self.0.get(at);
            if piece == Some(&Piece::Any) {
                at += 1;
                last = Some((at, signs.clone()));
                continue;
            }
            let fits = match (piece, signs.next()) {
                (None, None) => return true,
                (Some(Piece::One), Some(_)) => true,
                (Some(Piece::Just(wanted)), Some(sign)) => *wanted == sign,
                (Some(_), None) => return false,
                _ => false,
            };
            if fits {
                at += 1;
                continue;
            }
            let Some((behind, from)) = last.as_mut() else { return false };
            if from.next().is_none() {
                return false;
            }
            (at, signs) = (*behind, from.clone());
        }
    }
}
