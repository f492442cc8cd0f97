//! The command line: one file a subcommand, arguments checked into a configuration before any work.
