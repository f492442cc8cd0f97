//! The arithmetic of pages. Pure.

/// Which part of a list is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paging {
    /// Most entries of a page; 0 is all of them.
    pub limit: usize,
    /// Which page, counted from 1.
    pub number: usize,
}

/// Which part of a list that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// First entry, counted from 0.
    pub from: usize,
    /// First entry behind it.
    pub to: usize,
    /// Which page, counted from 1.
    pub number: usize,
    /// How many pages there are; 1 when the list is empty.
    pub pages: usize,
    /// Entries of the list.
    pub total: usize,
}

impl Paging {
    /// The part of a list of `total` entries. Behind the last page it is empty.
    #[must_use]
    pub fn of(self, total: usize) -> Page {
        let limit = if self.limit == 0 { total } else { self.limit }.max(1);
        let number = self.number.max(1);
        let from = limit.saturating_mul(number - 1).min(total);
        Page {
            from,
            to: from.saturating_add(limit).min(total),
            number,
            pages: total.div_ceil(limit).max(1),
            total,
        }
    }
}

impl Page {
    /// Nothing is on it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.from == self.to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(limit: usize, number: usize, total: usize) -> (usize, usize, usize) {
        let page = Paging { limit, number }.of(total);
        (page.from, page.to, page.pages)
    }

    #[test]
    fn v12_pages_cover_a_list_without_overlap() {
        assert_eq!(page(20, 1, 41), (0, 20, 3));
        assert_eq!(page(20, 2, 41), (20, 40, 3));
        assert_eq!(page(20, 3, 41), (40, 41, 3));
        assert_eq!(page(20, 2, 40), (20, 40, 2));
        assert_eq!(page(0, 1, 41), (0, 41, 1));
    }

    #[test]
    fn v12_a_page_that_is_not_there_is_empty() {
        assert!(
            Paging {
                limit: 20,
                number: 4
            }
            .of(41)
            .is_empty()
        );
        assert_eq!(page(20, 1, 0), (0, 0, 1));
        assert_eq!(page(0, 1, 0), (0, 0, 1));
        assert_eq!(page(0, 2, 41), (41, 41, 1));
        assert_eq!(page(usize::MAX, usize::MAX, 5), (5, 5, 1));
    }
}
