//! The rules for Rust files: text in, violations out.

use super::house;
use super::scan::{Named, scan};
use super::{File, Violation};

/// Where a file stands.
struct Place<'a> {
    /// Member of the workspace.
    member: &'a str,
    /// Room of `tracer-user`: the module below the crate root.
    room: &'a str,
    /// Module path below the crate root.
    modules: Vec<&'a str>,
    /// Part of the library or a program, not beside it as integration tests are.
    in_src: bool,
    /// Only tests have it.
    for_tests: bool,
}

impl<'a> Place<'a> {
    fn of(path: &'a str) -> Self {
        let mut parts = path.split('/');
        let member = parts.next().unwrap_or("");
        let part = parts.next().unwrap_or("");
        let mut modules: Vec<&str> = parts.map(|name| name.trim_end_matches(".rs")).collect();
        let room = modules.first().copied().unwrap_or("");
        if matches!(modules.last(), Some(&("mod" | "main" | "lib"))) {
            modules.pop();
        }
        Self {
            member,
            room,
            in_src: part == "src",
            for_tests: part == "tests" || modules.iter().any(|name| is_test_name(name)),
            modules,
        }
    }

    fn is_tracer(&self) -> bool {
        self.member == "tracer-user"
    }
}

/// Every rule for one file.
pub(super) fn check_file(file: &File) -> Vec<Violation> {
    let place = Place::of(&file.path);
    let scan = scan(&file.text, place.for_tests);
    let mut found = Vec::new();
    let mut tell = |line: usize, what: String| {
        let violation = Violation {
            file: file.path.clone(),
            line,
            what,
        };
        if !found.contains(&violation) {
            found.push(violation);
        }
    };
    if let Some(what) = length(&file.path, file.text.lines().count()) {
        tell(0, what);
    }
    if !file.text.starts_with("//!") {
        tell(
            1,
            "the first line is not `//!`: say what this file is".to_owned(),
        );
    }
    for module in place
        .modules
        .iter()
        .filter(|name| house::VAGUE.contains(name))
    {
        tell(
            0,
            format!("a module called `{module}` says nothing: name it after what it is"),
        );
    }
    for line in scan.allows {
        tell(
            line,
            "`#[allow]`: use `#[expect(…, reason = \"…\")]`".to_owned(),
        );
    }
    let pure = house::PURE.iter().any(|module| is_in(&file.path, module));
    for named in &scan.paths {
        let checks = [
            direction(&place, named),
            member_direction(&place, named),
            owner(&place, named),
            glob(named),
            pure.then(|| purity(named)).flatten(),
        ];
        for what in checks.into_iter().flatten() {
            tell(named.line, what);
        }
    }
    found
}

/// A table entry that matches no file any more has stopped protecting what it was written for.
pub(super) fn check_tables(files: &[File]) -> Vec<Violation> {
    let exists = |module: &str| files.iter().any(|file| is_in(&file.path, module));
    let stale = |module: &str| {
        // A room that is not built yet has nothing to protect.
        let room = module.rsplit_once('/').map_or(module, |(room, _)| room);
        exists(room) && !exists(module)
    };
    let pure = house::PURE
        .iter()
        .filter(|module| module.matches('/').count() > 2 && stale(module));
    let long = house::LONG
        .iter()
        .map(|(path, ..)| path)
        .filter(|path| !exists(path));
    pure.chain(long)
        .map(|module| Violation {
            file: "xtask/src/tidy/house.rs".to_owned(),
            line: 0,
            what: format!("`{module}` is no file any more: rename or remove the entry"),
        })
        .collect()
}

/// Files that only test builds contain are called so.
fn is_test_name(module: &str) -> bool {
    module == "tests" || module.ends_with("_tests") || module.starts_with("tests_")
}

/// Whether `path` is the module's file or in its folder.
fn is_in(path: &str, module: &str) -> bool {
    path.strip_prefix(module)
        .is_some_and(|rest| rest.is_empty() || rest == ".rs" || rest.starts_with('/'))
}

fn length(path: &str, lines: usize) -> Option<String> {
    let long = house::LONG.iter().find(|(long, ..)| *long == path);
    let short = house::SHORT.iter().find(|(_, name)| path.ends_with(name));
    let limit = long
        .map(|(_, limit, _)| *limit)
        .or(short.map(|(limit, _)| *limit));
    let limit = limit.unwrap_or(house::LINES);
    (lines > limit).then(|| format!("{lines} lines, the limit is {limit}: split it by idea"))
}

fn floor(room: &str) -> Option<usize> {
    house::FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// The room of `tracer-user` that a path leads to.
fn room_named<'a>(place: &Place<'a>, named: &'a Named) -> Option<&'a str> {
    let segments: Vec<&str> = named.segments.iter().map(String::as_str).collect();
    match *segments.first()? {
        "crate" => segments.get(1).copied(),
        // The program's own file speaks of its library by name.
        "tracer" if place.is_tracer() => segments.get(1).copied(),
        "super" => {
            let climbed = segments
                .iter()
                .take_while(|segment| **segment == "super")
                .count();
            let left = (place.modules.len() + named.inline_mods).checked_sub(climbed)?;
            let inside = place.modules.get(..left.min(place.modules.len()))?;
            inside
                .first()
                .copied()
                .or_else(|| segments.get(climbed).copied())
        }
        _ => None,
    }
}

/// Down the floors only, in `tracer-user`.
fn direction(place: &Place<'_>, named: &Named) -> Option<String> {
    if !place.is_tracer() || !place.in_src {
        return None;
    }
    let to = room_named(place, named)?;
    let from = place.room;
    if to == from || from == "lib" {
        return None;
    }
    // Not a room: an item at the crate root, or a macro.
    let to_floor = floor(to)?;
    let Some(from_floor) = floor(from) else {
        return Some(format!(
            "room `{from}` stands on no floor of tidy's plan (house.rs)"
        ));
    };
    if from == "main" && to != "cli" {
        return Some(format!("main imports `{to}`: it only hands over to cli"));
    }
    if to_floor > from_floor || house::NEIGHBOURS.contains(&(from, to)) {
        return None;
    }
    let which = if to_floor == from_floor {
        "sideways"
    } else {
        "upwards"
    };
    Some(format!(
        "`{from}` imports {which} from `{to}`: let `observe` bring the two together"
    ))
}

/// Between members of the workspace.
fn member_direction(place: &Place<'_>, named: &Named) -> Option<String> {
    let to = named.segments.first()?.as_str();
    if !house::OWN_CRATES.contains(&to) || named.segments.len() < 2 {
        return None;
    }
    let own = match place.member {
        "tracer-user" => "tracer",
        "tests" => "tracer_tests",
        "fuzz" => "tracer_fuzz",
        _ => "",
    };
    let (_, may) = house::CRATES
        .iter()
        .find(|(member, _)| *member == place.member)?;
    (to != own && !may.contains(&to)).then(|| format!("{} does not use {to}", place.member))
}

/// One owner a foreign crate; unit tests may use what they like.
fn owner(place: &Place<'_>, named: &Named) -> Option<String> {
    let name = named.segments.first()?.as_str();
    let (_, rooms, members) = house::OWNERS.iter().find(|(owned, ..)| *owned == name)?;
    let owned =
        members.contains(&place.member) || (place.is_tracer() && rooms.contains(&place.room));
    let owners = rooms
        .iter()
        .chain(*members)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    (!owned && !named.in_test).then(|| format!("{name} belongs to {owners}"))
}

/// No glob of our own modules, where a reader could not tell what comes from where.
fn glob(named: &Named) -> Option<String> {
    let own = matches!(named.segments.first()?.as_str(), "super" | "crate" | "self");
    (own && named.segments.last()? == "*" && !named.in_test).then(|| {
        format!(
            "`use {}` outside tests: name what is used",
            named.segments.join("::")
        )
    })
}

/// No file, network, process, clock or runtime where only decisions are made.
fn purity(named: &Named) -> Option<String> {
    let path = named.segments.join("::");
    let clock = matches!(named.segments.last().map(String::as_str), Some("now"));
    let impure = clock
        || house::IMPURE.iter().any(|bad| {
            path.strip_prefix(bad)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        });
    (impure && !named.in_test)
        .then(|| format!("`{path}` in a pure module: take values as arguments"))
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
