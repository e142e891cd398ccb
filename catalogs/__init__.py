"""Bytes on disk to Arrow and back: FITS releases in; parts, HATS catalogs and SQL out."""
