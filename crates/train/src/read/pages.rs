//! Pages of a Parquet column that do not have more than the footer says.
//!
//! The footer's numbers are checked against the file's length. A page has a header of its own, which can claim
//! four billion values of zero bits; they would be decoded into memory before they are counted.

use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::column::reader::{ColumnReader, get_column_reader};
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::RowGroupReader;

/// Pages until the values that the footer says are used up.
struct CountedPages {
    pages: Box<dyn PageReader>,
    left: u64,
}

impl CountedPages {
    fn count(&mut self, page: Option<Page>) -> Result<Option<Page>> {
        // A dictionary's values are not the column's, but there is no sense in more of them.
        if let Some(page) = &page {
            let values = u64::from(page.num_values());
            let more =
                || ParquetError::General("a page has more values than the footer says".into());
            let left = self.left.checked_sub(values).ok_or_else(more)?;
            if !matches!(page, Page::DictionaryPage { .. }) {
                self.left = left;
            }
        }
        Ok(page)
    }
}

impl Iterator for CountedPages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for CountedPages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.pages.get_next_page()?;
        self.count(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.pages.at_record_boundary()
    }
}

/// The values of a leaf column of a row group, as many as the footer says at the most.
pub(super) fn counted_column(group: &dyn RowGroupReader, leaf: usize) -> Result<ColumnReader> {
    let metadata = group.metadata();
    let left = u64::try_from(metadata.column(leaf).num_values()).unwrap_or(0);
    let pages = Box::new(CountedPages { pages: group.get_column_page_reader(leaf)?, left });
    Ok(get_column_reader(metadata.schema_descr().column(leaf), pages))
}
