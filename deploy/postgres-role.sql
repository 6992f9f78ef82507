-- The role of the orchestrator: it owns its two databases and is no superuser. psql runs this when the volume is empty.
\getenv password ORCHESTRATOR_PASSWORD
CREATE ROLE orchestrator LOGIN PASSWORD :'password';
CREATE DATABASE orchestrator OWNER orchestrator;
CREATE DATABASE orchestrator_dagster OWNER orchestrator;
