//! What a storage can, found out by trying: for `pgark storage test`.
