//! The corpora are there, and every file in them passes its target.

use std::path::Path;

use tracer_fuzz::TARGETS;

#[test]
fn every_file_of_every_corpus_passes_and_they_lead_to_different_ends() {
    for (name, target) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(name);
        let files = std::fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut ends = std::collections::HashSet::new();
        let mut count = 0;
        for file in files {
            let path = file.expect("readable").path();
            let input = std::fs::read(&path).expect("readable");
            assert!(
                input.len() <= tracer_fuzz::mutation::INPUT_MAX,
                "{} is too long",
                path.display()
            );
            ends.insert(target(&input));
            count += 1;
        }
        assert!(
            ends.len() >= 4,
            "{name}: {count} files, {} ends",
            ends.len()
        );
    }
}
