-- Raises an error of core/errors.py by its code. The fields travel in the detail.
CREATE OR REPLACE FUNCTION raise_error(p_code text, p_sentence text, p_fields jsonb DEFAULT '{}')
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'SQUAD',
        MESSAGE = p_sentence,
        DETAIL = (p_fields || jsonb_build_object('code', p_code))::text;
END $$;
