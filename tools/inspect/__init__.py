"""What `mohaq inspect` shows: programs of any stage, compiled folders, runs, assignments.

`subject` opens what the user names, `summary`, `operation`, `diff` and `emitted` describe it in
blocks (`blocks`), which `terminal` and `page` show; `graph`, `layout`, `svg`, `dot` and `netron`
draw it. Emitted programs are streamed: memory does not grow with their number of instructions.
"""
