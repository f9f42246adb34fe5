/** Which row of the table belongs to which template. */
import type { IdentityId, TemplateId } from "../../lib/brand.ts";

export interface SlotOwner {
  readonly identityId: IdentityId;
  readonly templateId: TemplateId;
}

export class SlotBook {
  readonly #owners: (SlotOwner | undefined)[] = [];
  readonly #byIdentity = new Map<IdentityId, Map<TemplateId, number>>();
  readonly #free: number[] = [];
  #templates = 0;

  get identityCount(): number {
    return this.#byIdentity.size;
  }

  get templateCount(): number {
    return this.#templates;
  }

  /** One past the highest slot ever used. */
  get end(): number {
    return this.#owners.length;
  }

  ownerOf(slot: number): SlotOwner | undefined {
    return this.#owners[slot];
  }

  has({ identityId, templateId }: SlotOwner): boolean {
    return this.#byIdentity.get(identityId)?.has(templateId) === true;
  }

  take(owner: SlotOwner): number {
    const slot = this.#free.pop() ?? this.#owners.length;
    this.#owners[slot] = owner;
    const known = this.#byIdentity.get(owner.identityId);
    if (known === undefined)
      this.#byIdentity.set(owner.identityId, new Map([[owner.templateId, slot]]));
    else known.set(owner.templateId, slot);
    this.#templates += 1;
    return slot;
  }

  /** From now on nobody owns these; they are not handed out again before {@link recycle}. */
  release(identityId: IdentityId): number[] {
    const slots = [...(this.#byIdentity.get(identityId)?.values() ?? [])];
    this.#byIdentity.delete(identityId);
    for (const slot of slots) this.#owners[slot] = undefined;
    this.#templates -= slots.length;
    return slots;
  }

  recycle(slots: readonly number[]): void {
    for (const slot of slots) this.#free.push(slot);
  }

  /** Owned slots, ascending. */
  owned(): number[] {
    const slots: number[] = [];
    this.#owners.forEach((owner, slot) => {
      if (owner !== undefined) slots.push(slot);
    });
    return slots;
  }
}
