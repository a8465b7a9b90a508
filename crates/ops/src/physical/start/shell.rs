//! Words of a shell.

/// A text as one word of a shell.
pub(in crate::physical) fn shell_word(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:=@%,".contains(&byte);
    match !text.is_empty() && text.bytes().all(is_plain) {
        true => text.to_string(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_shell_reads_words_as_they_are() {
        for text in ["/var/lib/pg", "a b", "it's", "$(touch /tmp/x)`y`", "", "a\nb", "\\", "\"", "-D"] {
            let script = format!("printf %s {}", shell_word(text));
            let output = Command::new("/bin/sh").arg("-c").arg(&script).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), text, "{script}");
        }
        assert_eq!(shell_word("/var/lib/pg-1"), "/var/lib/pg-1");
    }
}
