//! Makes BTF blobs by hand, for tests.
