/** What S3 says in XML: flat elements, whose text is all that counts. */

/** The text of the first element of this name, which has no elements inside. */
export function textOf(document: string, name: string): string | undefined {
  const text = new RegExp(`<${name}>([^<]*)</${name}>`).exec(document)?.[1];
  return text?.replace(
    /&(?:(lt|gt|quot|apos|amp)|#(\d{1,7})|#x([0-9a-fA-F]{1,6}));/g,
    (whole, entity?: string, decimal?: string, hex?: string) => {
      if (entity !== undefined) return ENTITIES[entity];
      const codePoint = decimal === undefined ? parseInt(hex ?? '', 16) : Number(decimal);
      return codePoint <= 0x10ffff ? String.fromCodePoint(codePoint) : whole;
    },
  );
}

const ENTITIES: Readonly<Record<string, string>> = { lt: '<', gt: '>', quot: '"', apos: "'", amp: '&' };
