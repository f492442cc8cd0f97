//! The only opener of `/proc`: bytes in, values out.
