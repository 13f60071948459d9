-- River brings two GIN indexes, over the arguments and the metadata of jobs, for
-- programs that search jobs by them. We never do, and every job, which is written
-- three times in its short life, paid for them each time. SQLite has none.
{{if .SQLite}}
SELECT 1;
{{else}}
DROP INDEX IF EXISTS river_job_args_index;
DROP INDEX IF EXISTS river_job_metadata_index;
{{end}}
