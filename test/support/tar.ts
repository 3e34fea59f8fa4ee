/** Tars made by hand, to have in them what no writer writes. Right ones are made by tar_reference.py. */

export interface TarMember {
  readonly name: string;
  readonly body?: string;
  /** A body of bytes, a character each. */
  readonly latin1?: string;
  readonly type?: string;
  readonly link?: string;
  /** What the header says, if it is not the body's length. */
  readonly size?: number;
  /** Records of a PAX header before it. */
  readonly pax?: Readonly<Record<string, string>>;
}

/** With two blocks of zeros at the end. */
export function tarOf(members: readonly TarMember[]): Uint8Array<ArrayBuffer> {
  const parts = members.flatMap((member) => [
    ...(member.pax === undefined ? [] : entry({ name: 'pax', type: 'x', body: records(member.pax) })),
    ...entry(member),
  ]);
  return new Uint8Array(Buffer.concat([...parts, Buffer.alloc(1024)]));
}

/** A copy, in which the header at `at` has the sum that its bytes have. */
export function withChecksum(bytes: Uint8Array, at: number): Uint8Array<ArrayBuffer> {
  const copy = Uint8Array.from(bytes);
  const header = copy.subarray(at, at + 512);
  header.fill(0x20, 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.set(Buffer.from(`${sum.toString(8).padStart(6, '0')}\0 `), 148);
  return copy;
}

function entry({ name, body = '', latin1, type = '0', link = '', size }: TarMember): Uint8Array[] {
  const content = latin1 === undefined ? Buffer.from(body) : Buffer.from(latin1, 'latin1');
  const header = Buffer.alloc(512);
  header.write(name.slice(0, 100), 0);
  header.write('0000644\0', 100);
  header.write(`${(size ?? content.length).toString(8).padStart(11, '0')}\0`, 124);
  header.write('00000000000\0', 136);
  header.write(type, 156);
  header.write(link, 157);
  header.write('ustar\x0000', 257);
  return [withChecksum(header, 0), content, Buffer.alloc((512 - (content.length % 512)) % 512)];
}

/** The length of a record counts its own digits. */
function records(pax: Readonly<Record<string, string>>): string {
  return Object.entries(pax)
    .map(([key, value]) => {
      const rest = ` ${key}=${value}\n`;
      let length = Buffer.byteLength(rest);
      while (String(length).length + Buffer.byteLength(rest) !== length) length = String(length).length + Buffer.byteLength(rest);
      return `${length}${rest}`;
    })
    .join('');
}
