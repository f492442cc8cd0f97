//! What the reader answers about blobs made by hand: odd, old, new and broken ones.

use super::{
    build::{Blob, LAYOUT, kind},
    *,
};

fn parse(bytes: &[u8]) -> Btf<'_> {
    Btf::parse(bytes).unwrap()
}

fn offset(btf: &Btf<'_>, name: &str, path: &str) -> Option<u32> {
    btf.member(name, path).map(|member| member.offset)
}

/// A `task` that nests, with what kernels do: typedefs, `const`, anonymous members, arrays, pointers.
fn task() -> Blob {
    let mut blob = Blob::new();
    let int = blob.int("int", 4);
    let long = blob.int("long", 8);
    let fixed = blob.alias("", kind::CONST, int);
    let pid = blob.alias("pid_t", kind::TYPEDEF, fixed);
    let char = blob.int("char", 1);
    let comm = blob.array(char, 16);
    let entity = blob.record("entity", 24, &[("weight", long, 0), ("runtime", long, 128)]);
    let entity = blob.alias("entity_t", kind::TYPEDEF, entity);
    let inner = blob.composite(
        "",
        kind::UNION,
        0,
        8,
        &[("deep", long, 0), ("shallow", int, 0)],
    );
    let middle = blob.record("", 16, &[("before", int, 0), ("", inner, 64)]);
    let pointer = blob.ptr(entity);
    blob.record(
        "task",
        88,
        &[
            ("pid", pid, 0),
            ("comm", comm, 32),
            ("se", entity, 192),
            ("", middle, 384),
            ("other", pointer, 512),
            ("rest", int, 576),
        ],
    );
    let task = blob.alias("task_t", kind::TYPEDEF, 12);
    let task = blob.ptr(task);
    blob.tracepoint("born", &[task, pid, task]);
    blob.add("bpf_helper", kind::ENUM, 2, 4, &[1, 7, 5, 9]);
    blob.add("do_exit", kind::FUNC, 0, 1, &[]);
    blob
}

/// Everything a test of a whole `task` asks, so that each blob can be asked the same.
fn assert_answers(btf: &Btf<'_>) {
    assert_eq!(offset(btf, "task", "pid"), Some(0));
    let comm = btf.member("task", "comm").unwrap();
    assert_eq!((comm.offset, comm.size, comm.bits), (4, 16, None));
    let array = btf.array(comm.type_id).unwrap();
    assert_eq!((array.elem_size, array.count), (1, 16));
    assert_eq!(offset(btf, "task", "se.runtime"), Some(40));
    assert_eq!(offset(btf, "task", "before"), Some(48));
    assert_eq!(offset(btf, "task", "deep"), Some(56));
    assert_eq!(btf.member("task", "shallow").unwrap().size, 4);
    assert_eq!(btf.member("task", "other").unwrap().size, 8);
    assert_eq!(offset(btf, "task", "rest"), Some(72));
    assert_eq!(btf.struct_size("task"), Some(88));
    let args = btf.tracepoint("born").unwrap();
    let kinds: Vec<ArgKind<'_>> = args.iter().map(|arg| arg.kind).collect();
    let task = ArgKind::PointerTo("task");
    assert_eq!(kinds, [task, ArgKind::Int, task]);
    assert_eq!(args[1].size, 4);
}

#[test]
fn fields_are_found_through_typedefs_anonymous_members_and_dots() {
    let bytes = task().build();
    let btf = parse(&bytes);
    assert_answers(&btf);
    assert_eq!(btf.stopped_at(), None);
    assert_eq!(offset(&btf, "task_t", "rest"), Some(72), "by its typedef");
    assert!(btf.func_exists("do_exit") && !btf.func_exists("do_exi"));
    assert_eq!(btf.enum_value("bpf_helper", "int"), Some(7));
    assert!(!btf.enum_has("bpf_helper", "in"));
    assert!(btf.type_id_of("btf_trace_born", Kind::Typedef).is_some());
    assert_eq!(btf.type_id_of("btf_trace_born", Kind::Struct), None);
}

#[test]
fn what_is_not_there_is_absent() {
    let bytes = task().build();
    let btf = parse(&bytes);
    for (name, path) in [
        ("task", "pi"),
        ("task", "pid_"),
        ("task", ""),
        ("task", "se."),
        ("task", "se.weight.more"),
        ("task", "other.runtime"),
        ("task", "comm.x"),
        ("tas", "pid"),
        ("", "pid"),
        ("pid_t", "pid"),
    ] {
        assert_eq!(btf.member(name, path), None, "{name}.{path}");
    }
    assert_eq!(btf.tracepoint("bor"), None);
    assert_eq!(btf.array(TypeId(1)), None);
    assert_eq!(btf.size_of(TypeId(0)), None);
    assert_eq!(btf.size_of(TypeId(u32::MAX)), None);
    let renamed = btf.member_any("task", &["__rest", "rest"]);
    assert_eq!(renamed, btf.member("task", "rest"));
}

#[test]
fn longer_headers_are_honoured() {
    let blob = task();
    for hdr_len in [24, 28, 32, 40, 4096] {
        assert_answers(&parse(&blob.build_with(hdr_len, &[])));
    }
    assert_answers(&parse(&blob.build_with(32, &LAYOUT)));
}

#[test]
fn reading_stops_at_an_unknown_kind_and_keeps_what_came_before() {
    let mut blob = task();
    let new = blob.add("novel", 42, 0, 0, &[1, 2, 3]);
    let int = blob.int("int", 4);
    blob.record("late", 4, &[("x", int, 0)]);
    let bytes = blob.build();
    let btf = parse(&bytes);
    assert_answers(&btf);
    let stopped = btf.stopped_at().unwrap();
    assert_eq!((stopped.id.0, stopped.kind), (new, 42));
    assert_eq!(stopped.why, StopReason::UnknownKind);
    assert_eq!(btf.member("late", "x"), None);
    assert!(stopped.to_string().contains("kind 42"), "{stopped}");
}

#[test]
fn an_unknown_kind_is_stepped_over_when_the_blob_says_how_long_it_is() {
    let mut blob = task();
    blob.add("novel", 20, 3, 0, &[0; 7]);
    let int = blob.int("int", 4);
    blob.record("late", 4, &[("x", int, 0)]);
    let mut layout = LAYOUT.to_vec();
    layout.push((4, 8));
    let bytes = blob.build_with(32, &layout);
    let btf = parse(&bytes);
    assert_eq!(btf.stopped_at(), None);
    assert_answers(&btf);
    assert_eq!(offset(&btf, "late", "x"), Some(0));
    // The same without the section, or with one that ends before the kind.
    for layout in [&[][..], &LAYOUT[..]] {
        let bytes = blob.build_with(32, layout);
        assert_eq!(parse(&bytes).stopped_at().unwrap().kind, 20);
    }
}

#[test]
fn of_structs_with_one_name_the_one_whose_members_fit_is_taken() {
    let mut blob = Blob::new();
    let int = blob.int("int", 4);
    blob.record("twin", 4, &[("a", int, 0)]);
    blob.record("twin", 8, &[("a", int, 32), ("b", int, 0)]);
    let bytes = blob.build();
    let btf = parse(&bytes);
    assert_eq!(offset(&btf, "twin", "b"), Some(0));
    assert_eq!(offset(&btf, "twin", "a"), Some(0), "the first that fits");
    let both = btf.struct_with("twin", &["a", "b"]).unwrap();
    assert_eq!(btf.member_of(both, "a").unwrap().offset, 4);
    assert_eq!(btf.struct_with("twin", &["a", "c"]), None);
}

#[test]
fn bit_fields_say_so_in_both_encodings() {
    let mut blob = Blob::new();
    let int = blob.int("unsigned int", 4);
    // Since 5.0: kind_flag, width in the upper byte. Offsets are not relative to a storage unit.
    let flagged = [
        ("plain", int, 0),
        ("bit", int, (1 << 24) + 35),
        ("x", int, (5 << 24) + 40),
    ];
    blob.composite("new", kind::STRUCT, 1 << 31, 16, &flagged);
    // Before: an int of three bits, two into its bytes.
    let narrow = blob.add("unsigned int", kind::INT, 0, 4, &[2 << 16 | 3]);
    blob.record("old", 8, &[("plain", int, 0), ("bits", narrow, 32)]);
    let bytes = blob.build();
    let btf = parse(&bytes);
    assert_eq!(btf.member("new", "plain").unwrap().bits, None);
    let bit = btf.member("new", "bit").unwrap();
    assert_eq!((bit.offset, bit.size), (4, 4));
    assert_eq!(
        bit.bits,
        Some(BitField {
            first: 35,
            width: 1
        })
    );
    let aligned = btf.member("new", "x").unwrap();
    assert_eq!(
        aligned.bits,
        Some(BitField {
            first: 40,
            width: 5
        })
    );
    let old = btf.member("old", "bits").unwrap();
    assert_eq!(
        old.bits,
        Some(BitField {
            first: 34,
            width: 3
        })
    );
}

#[test]
fn more_members_than_sixteen_bits_can_count() {
    let mut blob = Blob::new();
    let int = blob.int("int", 4);
    let members: Vec<(&str, u32, u32)> = (0..70_000).map(|i| ("m", int, i * 32)).collect();
    blob.record("wide", 280_000, &members);
    blob.record("after", 4, &[("x", int, 0)]);
    let bytes = blob.build();
    assert_eq!(offset(&parse(&bytes), "after", "x"), Some(0));
}

#[test]
fn circles_of_types_end() {
    let mut blob = Blob::new();
    blob.alias("round", kind::TYPEDEF, 2);
    blob.alias("", kind::CONST, 1);
    // A struct that holds itself, twice and without a name: 2^depth ways to walk.
    blob.record("snake", 8, &[("", 3, 0), ("", 3, 0), ("tail", 1, 0)]);
    blob.array(4, 3);
    blob.record("holder", 8, &[("r", 1, 0), ("a", 4, 0)]);
    let bytes = blob.build();
    let btf = parse(&bytes);
    assert_eq!(btf.member("round", "x"), None);
    assert_eq!(btf.member("snake", "nothing"), None);
    assert_eq!(btf.member("holder", "a").unwrap().size, 0);
    assert_eq!(btf.kind_of(TypeId(1)), None);
}

#[test]
fn sixty_four_bit_and_negative_enumerators_keep_their_value() {
    let mut blob = Blob::new();
    let low = blob.int("LOW", 4);
    assert_eq!(low, 1);
    // "LOW" stands at 1 in the strings.
    blob.add("wide", kind::ENUM64, 1, 8, &[1, 5, 1]);
    blob.add("signed", kind::ENUM, 1 << 31 | 1, 4, &[1, u32::MAX]);
    blob.add("unsigned", kind::ENUM, 1, 4, &[1, u32::MAX]);
    let bytes = blob.build();
    let btf = parse(&bytes);
    assert_eq!(btf.enum_value("wide", "LOW"), Some(0x1_0000_0005));
    assert_eq!(btf.enum_value("signed", "LOW"), Some(-1));
    assert_eq!(btf.enum_value("unsigned", "LOW"), Some(i64::from(u32::MAX)));
}

#[test]
fn what_is_not_btf_is_named() {
    let good = task().build();
    assert_eq!(Btf::parse(&[]).unwrap_err(), BtfError::TooShort { len: 0 });
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        Btf::parse(&bytes).unwrap_err()
    };
    assert_eq!(with(2, 2), BtfError::Version { version: 2 });
    assert_eq!(with(0, 0x7f), BtfError::Magic { magic: 0xeb7f });
    let mut swapped = good.clone();
    swapped.swap(0, 1);
    assert_eq!(Btf::parse(&swapped).unwrap_err(), BtfError::BigEndian);
    assert!(matches!(
        with(7, 0xff),
        BtfError::Section {
            section: "type",
            ..
        }
    ));
    assert!(matches!(
        with(23, 0xff),
        BtfError::Section {
            section: "string",
            ..
        }
    ));
}

#[test]
fn names_of_any_length_are_told_apart_however_alike_they_begin() {
    let mut blob = Blob::new();
    let long = "abcdefgh".repeat(6);
    for len in 1..=long.len() {
        blob.record(&long[..len], u32::try_from(len).unwrap(), &[]);
    }
    let bytes = blob.build();
    let btf = parse(&bytes);
    for len in 1..=long.len() {
        let found = btf.struct_size(&long[..len]);
        assert_eq!(found, u32::try_from(len).ok(), "{len}");
    }
    assert_eq!(btf.struct_size(&format!("{long}a")), None);
    assert_eq!(btf.struct_size(""), None);
}
