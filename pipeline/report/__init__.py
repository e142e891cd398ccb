"""`tuningfork report`: a run as one folder of HTML that opens from disk, for looking at and for naming groups."""
