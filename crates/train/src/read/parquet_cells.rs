//! What the values of a Parquet column mean, and how a cell of text has them.

use parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type};
use parquet::schema::types::ColumnDescriptor;
use std::io::Write as _;

const SECONDS_OF_A_DAY: f64 = 86_400.0;

/// What the values of a column mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum CellForm {
    /// What their type says.
    Plain,
    /// Whole numbers without a sign.
    Unsigned,
    /// Moments since 1970, of which so many are a second.
    Moments { per_second: f64 },
    /// Days since 1970.
    Days,
    /// 16 bytes of a UUID.
    Uuid,
    /// Two bytes of a floating-point number.
    Float16,
    /// Bytes that are no text.
    Binary,
}

impl CellForm {
    /// What a column says of its values. None of a decimal, which has to be cast.
    pub(super) fn of(column: &ColumnDescriptor) -> Option<Self> {
        let by_unit = |unit: &TimeUnit| match unit {
            TimeUnit::MILLIS => 1e3,
            TimeUnit::MICROS => 1e6,
            TimeUnit::NANOS => 1e9,
        };
        let logical = match column.logical_type_ref() {
            Some(LogicalType::Decimal(_)) => return None,
            Some(LogicalType::Timestamp(it)) => {
                Some(Self::Moments { per_second: by_unit(&it.unit) })
            }
            Some(LogicalType::Date) => Some(Self::Days),
            Some(LogicalType::Uuid) => Some(Self::Uuid),
            Some(LogicalType::Float16) => Some(Self::Float16),
            _ => None,
        };
        let converted = || match column.converted_type() {
            ConvertedType::DECIMAL => None,
            ConvertedType::TIMESTAMP_MILLIS => Some(Self::Moments { per_second: 1e3 }),
            ConvertedType::TIMESTAMP_MICROS => Some(Self::Moments { per_second: 1e6 }),
            ConvertedType::DATE => Some(Self::Days),
            ConvertedType::UINT_32 | ConvertedType::UINT_64 => Some(Self::Unsigned),
            _ if column.physical_type() == Type::FIXED_LEN_BYTE_ARRAY => Some(Self::Binary),
            _ => Some(Self::Plain),
        };
        logical.or_else(converted)
    }

    /// Writes a whole number as text.
    pub(super) fn write_integer(self, value: i64, unsigned: u64, text: &mut Vec<u8>) {
        // Writing to a Vec can't fail.
        let _ = match self {
            Self::Unsigned => write!(text, "{unsigned}"),
            Self::Moments { per_second } => write!(text, "{}", value as f64 / per_second),
            Self::Days => write!(text, "{}", value as f64 * SECONDS_OF_A_DAY),
            Self::Plain | Self::Uuid | Self::Float16 | Self::Binary => write!(text, "{value}"),
        };
    }

    /// Writes bytes as text: as they are where they are text, else in hexadecimal.
    pub(super) fn write_bytes(self, bytes: &[u8], text: &mut Vec<u8>) {
        match (self, bytes) {
            (Self::Uuid, _) if bytes.len() == 16 => {
                let digits = hex::encode(bytes);
                let parts =
                    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
                text.extend_from_slice(parts.join("-").as_bytes());
            }
            (Self::Float16, &[low, high]) => {
                let _ = write!(text, "{}", half::f16::from_le_bytes([low, high]));
            }
            (Self::Binary | Self::Uuid | Self::Float16, _) => {
                text.extend_from_slice(hex::encode(bytes).as_bytes());
            }
            _ => text.extend_from_slice(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut text = Vec::new();
        write(&mut text);
        String::from_utf8(text).expect("text")
    }

    #[test]
    fn values_by_hand() {
        let moments = CellForm::Moments { per_second: 1e6 };
        assert_eq!(written(|text| moments.write_integer(1_500_000, 0, text)), "1.5");
        assert_eq!(written(|text| CellForm::Days.write_integer(2, 0, text)), "172800");
        assert_eq!(written(|text| CellForm::Unsigned.write_integer(-1, 7, text)), "7");
        let bytes: Vec<u8> = (0..16).collect();
        let uuid = written(|text| CellForm::Uuid.write_bytes(&bytes, text));
        assert_eq!(uuid, "00010203-0405-0607-0809-0a0b0c0d0e0f");
        assert_eq!(written(|text| CellForm::Binary.write_bytes(b" a", text)), "2061");
        assert_eq!(written(|text| CellForm::Float16.write_bytes(&[0x00, 0x3e], text)), "1.5");
        assert_eq!(written(|text| CellForm::Plain.write_bytes(b" a", text)), " a");
    }
}
