"""What a run will do, found out and checked before anything is done: release, encoder, measurer, servers, fingerprints, time.

Begin in `make_plan`: it calls the other files, one for each subject, and lists all faults at once; `plan` is what comes out.
"""
