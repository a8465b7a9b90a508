//! Paths into a document: `$.a.b`, `$..phone`, `$.list[*].x`, `$["a.b"][0]`.

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The member of this name.
    Key(String),
    /// Any member.
    AnyKey,
    /// The element of this number, from 0; -1 is behind the last one.
    Index(i64),
    /// Any element.
    AnyIndex,
    /// Any number of members and elements.
    Deep,
}

/// Reads a path. Err says what is wrong with it.
pub(super) fn parse(text: &str) -> Result<Vec<Step>, &'static str> {
    let mut rest = text.strip_prefix('$').ok_or("a path begins with $")?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("..") {
            steps.push(Step::Deep);
            rest = after;
            if !rest.starts_with('[') {
                rest = name(rest, &mut steps)?;
            }
        } else if let Some(after) = rest.strip_prefix('.') {
            rest = name(after, &mut steps)?;
        } else if let Some(after) = rest.strip_prefix('[') {
            rest = bracket(after, &mut steps)?;
        } else {
            return Err("after $ a path goes on with . or [");
        }
    }
    Ok(steps)
}

fn name<'t>(text: &'t str, steps: &mut Vec<Step>) -> Result<&'t str, &'static str> {
    let end = text.find(['.', '[']).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    match name {
        "" => return Err("a name is missing"),
        "*" => steps.push(Step::AnyKey),
        _ => steps.push(Step::Key(name.to_string())),
    }
    Ok(rest)
}

fn bracket<'t>(text: &'t str, steps: &mut Vec<Step>) -> Result<&'t str, &'static str> {
    for quote in ['"', '\''] {
        if let Some(quoted) = text.strip_prefix(quote) {
            let (name, rest) = quoted.split_once(quote).ok_or("a quote is not closed")?;
            steps.push(Step::Key(name.to_string()));
            return rest.strip_prefix(']').ok_or("a ] is missing");
        }
    }
    let (inner, rest) = text.split_once(']').ok_or("a ] is missing")?;
    if inner == "*" {
        steps.push(Step::AnyIndex);
    } else {
        let number = inner.parse().ok().filter(|number| *number >= -1);
        steps.push(Step::Index(number.ok_or("between [ and ] is a number, * or a name in quotes")?));
    }
    Ok(rest)
}

/// A place inside of a document, as a step from what is around it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'k> {
    /// A member.
    Key(&'k str),
    /// An element.
    Index(i64),
}

impl Step {
    /// The step leads to the place. [`Step::Deep`] does not say.
    pub fn fits(&self, place: Place<'_>) -> bool {
        match (self, place) {
            (Step::Key(name), Place::Key(key)) => name == key,
            (Step::AnyKey, Place::Key(_)) | (Step::AnyIndex, Place::Index(_)) => true,
            (Step::Index(number), Place::Index(index)) => *number == index,
            _ => false,
        }
    }
}

/// How far each of some paths has come: the path's number, and how many of its steps are behind.
pub(super) type Reached = (usize, usize);

/// Appends to `reached` how far the paths have come at a place inside of where `from` of them had
/// come. Gives the first path whose end it is.
pub(super) fn follow(
    paths: &[Vec<Step>],
    reached: &mut Vec<Reached>,
    from: std::ops::Range<usize>,
    place: Place<'_>,
) -> Option<usize> {
    let mut ended: Option<usize> = None;
    let begin = reached.len();
    // Two ways to one place are one: otherwise deep documents could make them many.
    let reach = |reached: &mut Vec<Reached>, new: Reached| {
        if !reached.get(begin..).unwrap_or_default().contains(&new) {
            reached.push(new);
        }
    };
    for number in from {
        let Some((path, behind)) = reached.get(number).copied() else { break };
        let Some(steps) = paths.get(path) else { continue };
        let mut step = behind;
        if steps.get(step) == Some(&Step::Deep) {
            reach(reached, (path, behind));
            step += 1;
        }
        if steps.get(step).is_some_and(|step| step.fits(place)) {
            if step + 1 == steps.len() {
                ended = Some(ended.map_or(path, |ended| ended.min(path)));
            } else {
                reach(reached, (path, step + 1));
            }
        }
    }
    ended
}
