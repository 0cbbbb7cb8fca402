-- An agent that was copied from the installation's default agent: its values are the operator's, and the organization is
-- shown their names only.
ALTER TABLE turnpike.agents ADD COLUMN provided boolean NOT NULL DEFAULT false;

UPDATE turnpike.agents a SET provided = true FROM turnpike.agents d
    WHERE d.org = 'default' AND d.agent = 'default' AND a.org <> 'default' AND a.agent = 'default'
        AND a.configuration = d.configuration;
