"""`tuningfork detect`: a catalog for images that have none.

Begin in `detect`: what is planned (`planning`, `job`), done for each tile (`find`), resolved where tiles overlap (`overlaps`) and written (`shards`, `survey_file`).
"""
