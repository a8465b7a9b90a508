//! Flags over environment over file over defaults, and which of them each value came from.
//!
//! The file's settings become options behind those that were typed, so clap reads, checks and
//! refuses them as it does these. Within the file the narrower section counts:
//!
//! ```text
//! [clusters.NAME.databases.DB]   filters of one database, in a backup
//! [clusters.NAME.COMMAND]        with --cluster NAME
//! [clusters.NAME]                with --cluster NAME: a backup's options, the policy of forget,
//!                                and for every command the repository
//! [COMMAND]
//! outside of sections            the repository, and options of every command
//! ```
//!
//! A setting gives way to whatever counts more and says the same, contradicts it, or is one whole
//! with it (a policy; which databases). Two of one section that contradict each other are an error.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use clap::{Arg, ArgAction, Command};

use super::file::{Config, Section, Setting};
use super::keys::{Keys, REPO};
use super::typed::{Arguments, Typed};
use crate::args::{Action, DATABASES, Filters, POLICY, SECRET};
use crate::error::Failure;

/// Groups of options that are one whole.
const WHOLE: [&str; 3] = [DATABASES, POLICY, SECRET];

/// The settings of the file that count for one command line.
pub struct Layers<'c> {
    config: &'c Config,
    typed: &'c Typed,
    path: String,
    command: &'static Command,
    /// The cluster that is typed, or that the command's section names.
    pub cluster: Option<String>,
}

/// A command line of which nothing is wrong but the file.
pub enum Wrong {
    /// As clap says it.
    Typed(clap::Error),
    /// With file and line, or in words of ours.
    File(Failure),
}

impl<'c> Layers<'c> {
    /// Whether the command has a section in the file.
    pub fn reads_file(typed: &Typed) -> bool {
        Keys::all().commands().contains(&typed.command())
    }

    /// Of a command that has a section; none: the file has nothing to do with it.
    pub fn of(config: &'c Config, typed: &'c Typed) -> Option<Layers<'c>> {
        let keys = Keys::all();
        let path = typed.command();
        if !keys.commands().contains(&path) {
            return None;
        }
        let command = keys.command(&path)?;
        let in_file = config.commands.get(&path).and_then(|section| section.get("cluster"));
        let cluster = match typed.source("cluster") {
            Some(_) => typed.text("cluster"),
            None => in_file.map(|setting| setting.value.to_string()).filter(|name| !name.is_empty()),
        };
        Some(Layers { config, typed, path, command, cluster })
    }

    /// The arguments with what the file adds to them.
    pub fn arguments(&self) -> Result<Arguments, Wrong> {
        let chosen = self.in_force(None);
        let mut found = self.parse(&chosen)?;
        if let Action::Backup(backup) = &mut found.args.action {
            for (database, section) in self.databases() {
                let filters = self.filters(section)?;
                backup.filters_of.insert(database.clone(), filters);
            }
        }
        Ok(found)
    }

    /// The databases that have sections of their own.
    pub fn databases(&self) -> impl Iterator<Item = (&'c String, &'c Section)> {
        let cluster = self.cluster.as_ref().and_then(|name| self.config.clusters.get(name));
        cluster.into_iter().flat_map(|cluster| &cluster.databases)
    }

    fn filters(&self, of_database: &'c Section) -> Result<Filters, Wrong> {
        match self.parse(&self.in_force(Some(of_database)))?.args.action {
            Action::Backup(backup) => Ok(backup.filters),
            _ => Ok(Filters::default()),
        }
    }

    /// What the file says and nothing overrules, by the options' ids.
    pub fn settings(&self, of_database: Option<&'c Section>) -> BTreeMap<String, &'c Setting> {
        let mut decided = BTreeSet::new();
        let mut in_force: Vec<String> =
            self.command.get_arguments().map(|arg| arg.get_id().to_string()).collect();
        in_force.retain(|id| self.typed.decides(id));
        let mut chosen = BTreeMap::new();
        for layer in self.layers(of_database) {
            let above = in_force.clone();
            for (id, setting) in layer {
                if self.typed.decides(&id) || !decided.insert(id.clone()) {
                    continue;
                }
                if setting.value.is_nothing() || above.iter().any(|other| self.are_rivals(&id, other)) {
                    continue;
                }
                in_force.push(id.clone());
                chosen.insert(id, setting);
            }
        }
        chosen
    }

    /// The same without what a backup does nothing with: the policy of one that does not forget.
    fn in_force(&self, of_database: Option<&'c Section>) -> BTreeMap<String, &'c Setting> {
        let mut chosen = self.settings(of_database);
        let forgets = "forget_after_backup";
        let has_it = self.command.get_arguments().any(|arg| arg.get_id() == forgets);
        if has_it && !self.typed.flag(forgets) && !chosen.contains_key(forgets) {
            chosen.retain(|id, _| !self.is_in(id, POLICY));
        }
        chosen
    }

    /// Sections that apply to this command, those that count more first.
    fn layers(&self, of_database: Option<&'c Section>) -> Vec<Vec<(String, &'c Setting)>> {
        let cluster = self.cluster.as_ref().and_then(|name| self.config.clusters.get(name));
        let of_cluster = |id: &str| {
            self.path == "backup" || id == REPO || (self.path == "forget" && self.is_in(id, POLICY))
        };
        [
            of_database.map(|section| self.options(section)),
            cluster.and_then(|cluster| cluster.commands.get(&self.path)).map(|section| self.options(section)),
            cluster.map(|cluster| {
                let mut options = self.options(&cluster.own);
                options.retain(|(id, _)| of_cluster(id));
                options
            }),
            self.config.commands.get(&self.path).map(|section| self.options(section)),
            Some(self.options(&self.config.top)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// A section's settings that are options of this command, by id.
    fn options(&self, section: &'c Section) -> Vec<(String, &'c Setting)> {
        let named = section.values().filter_map(|setting| Some((setting.key.option.as_ref()?, setting)));
        named
            .filter(|((id, _), _)| self.argument(id).is_some())
            .map(|((id, _), setting)| (id.clone(), setting))
            .collect()
    }

    fn argument(&self, id: &str) -> Option<&Arg> {
        self.command.get_arguments().find(|arg| arg.get_id() == id)
    }

    fn is_in(&self, id: &str, group: &str) -> bool {
        let mut groups = self.command.get_groups().filter(|known| known.get_id() == group);
        groups.any(|known| known.get_args().any(|own| own == id))
    }

    /// Whether two options contradict each other, or are parts of one whole.
    fn are_rivals(&self, one: &str, other: &str) -> bool {
        let conflicts = |one: &str, other: &str| {
            self.argument(one).is_some_and(|arg| {
                self.command.get_arg_conflicts_with(arg).iter().any(|found| found.get_id() == other)
            })
        };
        let together = self.command.get_groups().any(|group| {
            let is_one = WHOLE.iter().any(|whole| group.get_id() == whole) || !group.clone().is_multiple();
            let has = |id: &str| group.get_args().any(|own| own == id);
            is_one && has(one) && has(other)
        });
        together || conflicts(one, other) || conflicts(other, one)
    }

    fn parse(&self, chosen: &BTreeMap<String, &Setting>) -> Result<Arguments, Wrong> {
        self.try_parse(chosen).map_err(|error| self.explain(error, chosen))
    }

    fn try_parse(&self, chosen: &BTreeMap<String, &Setting>) -> Result<Arguments, clap::Error> {
        let mut more: Vec<OsString> = Vec::new();
        for (id, setting) in chosen {
            if let Some((_, long)) = &setting.key.option {
                let counts =
                    self.argument(id).is_some_and(|arg| matches!(arg.get_action(), ArgAction::Count));
                more.extend(setting.value.as_arguments(long, counts));
            }
        }
        Arguments::read(&self.typed.with(more))
    }

    /// Where an option that clap refuses is one of the file's, its line is said.
    fn explain(&self, error: clap::Error, chosen: &BTreeMap<String, &Setting>) -> Wrong {
        let without = |id: &String| {
            let mut rest = chosen.clone();
            rest.remove(id);
            self.try_parse(&rest)
        };
        let is_to_blame = |id: &String| match without(id) {
            Ok(_) => true,
            Err(other) => other.to_string() != error.to_string(),
        };
        match chosen.iter().find(|(id, _)| is_to_blame(id)) {
            None => Wrong::Typed(error),
            Some((_, setting)) => {
                let text = error.render().to_string();
                let text = text.strip_prefix("error: ").unwrap_or(&text);
                let said: Vec<&str> =
                    text.split("\n\n").next().unwrap_or_default().lines().map(str::trim).collect();
                Wrong::File(Failure::usage(
                    format!("{}: {}: {}", self.place(setting), setting.key.name, said.join(" ")),
                    "`pgark config show COMMAND` shows where each value comes from",
                ))
            }
        }
    }

    /// `FILE:LINE`.
    pub fn place(&self, setting: &Setting) -> String {
        let path = self.config.path.as_deref().map(|path| path.display().to_string()).unwrap_or_default();
        format!("{path}:{}", setting.line)
    }
}
