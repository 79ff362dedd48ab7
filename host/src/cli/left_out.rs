//! Arguments that need another sentence than clap has: commands that a build was made without, and
//! files without their flag.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Each command that a feature brings: its name below `waypost`, the feature, and whether this
/// build has it.
const OPTIONAL: [(&str, &str, bool); 5] = [
    ("demo", "demo", cfg!(feature = "demo")),
    ("origin", "demo", cfg!(feature = "demo")),
    ("policy bindings", "authoring", cfg!(feature = "authoring")),
    ("policy new", "authoring", cfg!(feature = "authoring")),
    ("policy pack", "authoring", cfg!(feature = "authoring")),
];

/// The error itself, or if it is about a command that this build lacks, one that says so.
pub(super) fn explained(
    error: clap::Error,
    waypost: impl FnOnce() -> clap::Command,
) -> clap::Error {
    let (kind, sentence) = match error.kind() {
        ErrorKind::UnknownArgument => (ErrorKind::UnknownArgument, bare_file(&error)),
        _ => (
            ErrorKind::InvalidSubcommand,
            unknown_command(&error).and_then(sentence),
        ),
    };
    match sentence {
        Some(sentence) => waypost().error(kind, sentence),
        None => error,
    }
}

/// What to write where a configuration is named without its flag.
fn bare_file(error: &clap::Error) -> Option<String> {
    let (Some(ContextValue::String(file)), Some(ContextValue::StyledStr(usage))) = (
        error.get(ContextKind::InvalidArg),
        error.get(ContextKind::Usage),
    ) else {
        return None;
    };
    let usage = usage.to_string();
    let mut commands = ["run", "check"].into_iter();
    let command = commands.find(|name| usage.contains(&format!("waypost {name} ")))?;
    (!file.starts_with('-'))
        .then(|| format!("a file is named by a flag: write `waypost {command} --config {file}`"))
}

fn unknown_command(error: &clap::Error) -> Option<&str> {
    match (error.kind(), error.get(ContextKind::InvalidSubcommand)) {
        (ErrorKind::InvalidSubcommand, Some(ContextValue::String(name))) => Some(name),
        _ => None,
    }
}

/// The sentence for a command, by its last name, which is unique.
fn sentence(name: &str) -> Option<String> {
    OPTIONAL
        .iter()
        .find(|(command, _, built)| !built && command.split(' ').next_back() == Some(name))
        .map(|(command, feature, _)| {
            format!("this build has no `{command}`: it was built without the feature `{feature}`")
        })
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::super::Cli;
    use super::*;

    #[test]
    fn a_command_is_there_or_the_error_names_its_feature() {
        for (command, feature, built) in OPTIONAL {
            let words = ["waypost"].into_iter().chain(command.split(' '));
            let help = Cli::try_parse_from(words.clone().chain(["--help"])).unwrap_err();
            if built {
                assert_eq!(help.kind(), ErrorKind::DisplayHelp, "{command}");
                continue;
            }
            for error in [help, Cli::try_parse_from(words).unwrap_err()] {
                let told = explained(error, Cli::command);
                assert_eq!(told.exit_code(), 2);
                let told = told.to_string();
                assert!(told.contains(&format!("no `{command}`")), "{told}");
                assert!(told.contains(&format!("feature `{feature}`")), "{told}");
            }
        }
    }

    #[test]
    fn a_file_without_its_flag_is_shown_with_it() {
        for command in ["run", "check"] {
            let error = Cli::try_parse_from(["waypost", command, "a.toml"]).unwrap_err();
            let said = explained(error, Cli::command);
            assert_eq!(said.exit_code(), 2);
            let written = format!("`waypost {command} --config a.toml`");
            assert!(said.to_string().contains(&written), "{said}");
        }
        for other in [["run", "--confg"], ["reload", "a.toml"]] {
            let error = Cli::try_parse_from(["waypost"].into_iter().chain(other)).unwrap_err();
            let said = error.to_string();
            assert_eq!(explained(error, Cli::command).to_string(), said);
        }
    }

    #[test]
    fn another_unknown_command_is_what_clap_says_of_it() {
        let error = Cli::try_parse_from(["waypost", "polcy"]).unwrap_err();
        let said = error.to_string();
        assert_eq!(explained(error, Cli::command).to_string(), said);
    }

    #[test]
    fn no_help_names_a_command_that_is_not_there() {
        let mut shown = String::new();
        collect(&mut Cli::command(), &mut shown);
        for (command, _, built) in OPTIONAL {
            assert_eq!(
                shown.contains(&format!("waypost {command}")),
                built,
                "{command}"
            );
        }
    }

    /// The long help of a command and of all below it.
    fn collect(command: &mut clap::Command, shown: &mut String) {
        shown.push_str(&command.render_long_help().to_string());
        for below in command.get_subcommands_mut() {
            collect(below, shown);
        }
    }
}
