//! Vehicles' numbers, with letters that the country leaves out: they look like others, and belong
//! to no vehicle. (Wikipedia, "Vehicle registration plates of …", with the national regulations.)

use super::Number;
use crate::transformers::fitting::pattern;

macro_rules! plates {
    ($($country:literal $pattern:literal;)+) => {
        pub(super) const ALL: &[Number] = &[$(Number {
            country: $country,
            most: $pattern.len(),
            make: |draw, out| {
                pattern(draw, $pattern, out);
                true
            },
        },)+];
    };
}

plates! {
    // No district is called XX.
    "DE" "XX-@@ ####";
    "AT" "XX ###@@";
    "CH" "XX ######";
    "PL" "XX #####";
    "IE" "##1-XX-#####";
    // Q begins no area.
    "GB" "QQ## @@@";
    // SS is left out at the left.
    "FR" "SS-###-@@";
    // I, O, Q and U are left out.
    "IT" "Q@ ###@@";
    // Vowels are left out.
    "ES" "#### A@@";
    "NL" "AE-###-@";
    // I, M, O, Q and W are left out.
    "BE" "1-Q@@-###";
    // I, Q and V are left out.
    "SE" "Q@@ ###";
    // I, M, O, Q and W are left out.
    "NO" "QQ #####";
    // I, O and Q are left out.
    "DK" "QQ ## ###";
    // G, O, Q and W are left out.
    "CZ" "#Q# ####";
    // G, I, O, Q and U are left out in Ontario.
    "CA" "QQ@@ ###";
    // No state begins so.
    "US" "FIC-####";
}
