"""Physical tests of classes: `tuningfork validate`.

Begin in `validate`; the tests themselves are SQL, in `catalogs/sql/validate`.
"""
